"""The container files: what they copy is there, and what they run exists."""

from __future__ import annotations

import json
import re
from typing import Any

import yaml
from repository import ROOT
from typer.testing import CliRunner

from unimoer_rag.cli.main import app

DOCKERFILE = (ROOT / "docker" / "Dockerfile").read_text(encoding="utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text("utf-8"))


def test_what_the_image_copies_is_there() -> None:
    for line in re.findall(r"^COPY (.+)$", DOCKERFILE, re.MULTILINE):
        *sources, _ = line.split()
        assert all((ROOT / source).exists() for source in sources), line
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    [torch] = re.findall(r"torch==[0-9.]+", DOCKERFILE)
    assert torch in makefile
    assert re.search(r"^USER (?!root)", DOCKERFILE, re.MULTILINE)
    extras = set(re.findall(r"\[(.+)\]'", DOCKERFILE)[0].split(","))
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert all(re.search(rf"^{extra} = ", project, re.MULTILINE) for extra in extras)


def test_the_commands_are_the_program_s() -> None:
    [typed] = re.findall(r"^CMD (\[.+\])$", DOCKERFILE, re.MULTILINE)
    for words in (json.loads(typed), COMPOSE["services"]["server"]["command"]):
        told = CliRunner().invoke(app, [words[0], "--help"], env={"COLUMNS": "200"})
        assert told.exit_code == 0
        for word in words:
            assert not word.startswith("--") or word in told.output
    # A server that others reach asks for keys.
    assert "UNIMOER_SERVE_KEYS" in COMPOSE["services"]["server"]["environment"]
