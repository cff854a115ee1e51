"""YAML files, validated whole; what is wrong is named by file and key."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from unimoer_rag.errors import UnimoerError

__all__ = ["read_yaml"]

M = TypeVar("M", bound=BaseModel)


def read_yaml(path: Path, kind: type[M], *, whole: str, error: type[UnimoerError]) -> M:
    """The content of a YAML file as a model.

    Args:
        path: the file.
        kind: the model.
        whole: what the file is ("recipe"), for what is wrong with no key of it.
        error: what is raised.

    Raises:
        UnimoerError: of the type `error`: the file cannot be read, is not YAML, or is malformed.
    """
    try:
        return kind.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except OSError as problem:
        raise error(f"cannot read {path}: {problem.strerror or problem}") from problem
    except ValidationError as problem:
        first = problem.errors()[0]
        where = ".".join(map(str, first["loc"])) or whole
        # Pydantic puts "Value error, " before what a validator of ours says.
        said = first["msg"].removeprefix("Value error, ")
        raise error(f"{path}: {where}: {said}") from problem
    except (yaml.YAMLError, ValueError) as problem:  # a date with a 13th month, no UTF-8
        raise error(f"{path} is not YAML: {problem}") from problem
