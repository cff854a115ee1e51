"""`VllmEngine` on the real vLLM, in a process of its own with the Python that has it."""

from __future__ import annotations

import json
import runpy
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from running_vllm import SCRIPT

from unimoer_rag.generation.chat_server import ChatServer
from unimoer_rag.retrieval.types import Hit, Passage

pytestmark = [pytest.mark.vllm, pytest.mark.slow]

QUESTION = "How long do refunds take?"
HITS = [Hit(Passage("Refunds take 14 days.", "refunds.md", "Refunds", 10, 31), rerank=0.9)]
DRIVER = Path(__file__).with_name("in_process.py")
HANDBOOK = DRIVER.parents[2] / "examples" / "handbook"


@pytest.fixture(scope="module")
def results(
    vllm_env: Path, vllm_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """What the driver reports."""
    folder = tmp_path_factory.mktemp("in-process")
    shutil.copytree(HANDBOOK, folder / "handbook")
    environment = runpy.run_path(str(SCRIPT))["environment"]()
    command = [vllm_env / "bin" / "python", DRIVER, vllm_model, folder / "handbook", folder]
    with (folder / "results.json").open("wb") as output, (folder / "log").open("wb") as log:
        done = subprocess.run(
            command,
            stdout=output,
            stderr=log,
            env=environment | {"VLLM_CONFIGURE_LOGGING": "0"},
            timeout=600,
            check=False,
        )
    if done.returncode:
        pytest.fail((folder / "log").read_text(errors="replace")[-4000:], pytrace=False)
    found: dict[str, Any] = json.loads((folder / "results.json").read_text())
    return found


def test_every_door_gives_what_the_server_gives(results: dict[str, Any], vllm_url: str) -> None:
    server = ChatServer(vllm_url, max_tokens=12)
    expected = server.generate(QUESTION, HITS)
    server.close()
    assert expected.text is not None
    whole, awaited, stream, astream = results["doors"]
    [answer] = whole
    assert (answer["text"], answer["complete"]) == (expected.text, False)
    assert answer["prompt"] == expected.prompt
    assert awaited == whole
    for *pieces, last in (stream, astream):
        assert len(pieces) > 1
        assert ("".join(pieces), last) == (expected.text, answer)


def test_many_at_once_get_what_each_gets_alone(results: dict[str, Any]) -> None:
    alone, together = results["together"]
    assert together == alone
    assert len(set(alone)) > 1


def test_without_a_template_the_reply_is_its_first_line(results: dict[str, Any]) -> None:
    text, complete = results["first line"]
    assert complete
    assert text
    assert "\n" not in text


def test_a_whole_pipeline_beside_it(results: dict[str, Any]) -> None:
    text, complete, sources = results["pipeline"]
    assert (len(text), complete) == (12, False)
    assert any("returns-and-refunds.md" in source for source in sources)
    assert results["embedding"]  # bit for bit what it was before


def test_a_prompt_that_is_too_long(results: dict[str, Any]) -> None:
    kind, message = results["too long"]
    assert kind == "GeneratorRefusedError"
    assert "takes 8192 with its reply: have fewer or shorter passages" in message


@pytest.mark.parametrize("how", ["closed", "aclosed", "cancelled"])
def test_what_nobody_waits_for_is_aborted(results: dict[str, Any], how: str) -> None:
    first, running, idle = results[how]
    assert first.isalpha()
    assert (running, idle) == (1, True)


def test_its_engines_death(results: dict[str, Any]) -> None:
    first, broken, later = results["death"]
    assert first.isalpha()
    assert broken[0] == "GenerationError"
    assert "vLLM broke off after " in broken[1]
    assert later[0] == "GeneratorUnavailableError"
    assert "has died" in later[1]


def test_what_is_refused(results: dict[str, Any]) -> None:
    kinds, messages = zip(*results["refused options"], strict=True)
    assert kinds == (
        *("InputError", "InputError", "InputError"),
        "GeneratorUnavailableError",
        *("BackboneError", "BackboneError"),
    )
    assert "nonsense" in messages[0]
    assert "temperature" in messages[1]
    assert "no such option" in messages[2]
    assert "nonsense" in messages[2]
    assert "1000000000" in messages[3]
    assert "unknown backbone 'nowhere'" in messages[4]
    assert "owner/name@<40-digit commit>" in messages[5]
    assert results["refused"][0] == "GeneratorRefusedError"
    assert "temperature must be in [0, 2]" in results["refused"][1]
    assert results["after close"] == [
        "GeneratorUnavailableError",
        "this VllmEngine is closed: make a new one",
    ]
