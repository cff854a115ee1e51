"""The compose file of the preset `server`: the servers that the preset asks, where it asks them."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from unimoer_rag.errors import InputError
from unimoer_rag.pipelines.config import PipelineConfig
from unimoer_rag.pipelines.generators import ServerConfig

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "pipelines" / "server" / "compose.yaml"


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))["services"]
    return found


def test_ports_are_those_of_the_preset(services: dict[str, Any]) -> None:
    config = PipelineConfig.load("server")
    assert isinstance(config.generate, ServerConfig)
    for name, url in {
        "qdrant": config.retrieve.url,
        "vllm": config.generate.url,
        "vllm-cpu": config.generate.url,
    }.items():
        place = urlsplit(url or "")
        assert place.hostname == "localhost"
        # Without keys, for this machine only.
        (port,) = services[name]["ports"]
        assert re.fullmatch(rf"127\.0\.0\.1:{place.port}:\d+", port)
        checked = " ".join(services[name]["healthcheck"]["test"])
        assert re.search(rf"127\.0\.0\.1[:/]{port.rpartition(':')[2]}\b", checked)


def test_images_are_pinned_and_data_is_kept(services: dict[str, Any]) -> None:
    declared = yaml.safe_load(FILE.read_text(encoding="utf-8"))["volumes"]
    used = set()
    for name, service in services.items():
        assert re.fullmatch(r"[\w./-]+:v\d+\.\d+\.\d+", service["image"]), name
        assert service["healthcheck"]["start_period"]
        used |= {volume.partition(":")[0] for volume in service["volumes"]}
    assert used == declared.keys()


def test_one_vllm_at_a_time_and_the_gpus_by_default(services: dict[str, Any]) -> None:
    (device,) = services["vllm"]["deploy"]["resources"]["reservations"]["devices"]
    assert device["capabilities"] == ["gpu"]
    assert "profiles" not in services["vllm"]
    assert services["vllm-cpu"]["profiles"] == ["cpu"]
    assert "deploy" not in services["vllm-cpu"]
    assert services["vllm"]["command"] == services["vllm-cpu"]["command"]
    assert services["vllm"]["command"][0] == "${UNIMOER_CHAT_MODEL:-Qwen/Qwen3-0.6B}"


def test_it_is_no_preset_and_the_preset_says_where_it_is() -> None:
    assert not (ROOT / "pipelines" / "compose.yaml").exists()
    with pytest.raises(InputError, match=r"no pipeline 'compose'"):
        PipelineConfig.load("compose")
    header = (ROOT / "pipelines" / "server.yaml").read_text(encoding="utf-8")
    assert str(FILE.relative_to(ROOT)) in header


def test_docker_takes_it() -> None:
    def compose(*words: str) -> int:
        return subprocess.run(
            ["docker", "compose", *words], capture_output=True, timeout=60
        ).returncode

    if shutil.which("docker") is None or compose("version") != 0:
        pytest.skip("needs docker compose")
    assert compose("-f", str(FILE), "--profile", "cpu", "config", "--quiet") == 0
