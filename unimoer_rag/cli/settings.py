"""What need not be typed each time: where the index is, and its model.

The nearest counts: the command line, then the environment (`UNIMOER_INDEX`, `UNIMOER_URL`,
`UNIMOER_COLLECTION`, `UNIMOER_CHECKPOINT`), then `unimoer.toml` in the working folder, then that in
the user's own folder for settings:

```toml
index = "handbook.index"        # or url = "http://localhost:6333"; paths are the file's neighbours
collection = "unimoer"
checkpoint = "unimoer-minilm"

[keys]                          # in one's own file alone: an API key is its server's
"https://qdrant.example.org:6333" = "..."
```

A folder may come from elsewhere with its `unimoer.toml`: a server that such a file names gets no
key from the environment.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import typer

from unimoer_rag.errors import InputError
from unimoer_rag.files import read_bounded
from unimoer_rag.urls import same_server, shown_url

__all__ = [
    "ENVIRONMENT",
    "FILE",
    "Setting",
    "Settings",
    "default_map",
    "find_settings",
    "is_typed",
    "key_of",
    "model_of",
    "one_place",
    "settings_in_force",
]

FILE = "unimoer.toml"
ENVIRONMENT = {
    "index": "UNIMOER_INDEX",
    "url": "UNIMOER_URL",
    "collection": "UNIMOER_COLLECTION",
    "checkpoint": "UNIMOER_CHECKPOINT",
}
"""The names of settings in files and in the environment."""

_PLACES = {"index": "url", "url": "index"}  # one of the two says where passages are
_KEYS = "keys"
_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Setting:
    """A value and where it was found: a file, or the name of a variable."""

    value: str
    source: str


@dataclass(frozen=True, slots=True)
class Settings:
    """What the files say.

    Attributes:
        values: by the names of `ENVIRONMENT`.
        keys: API keys by their servers' URLs; never shown.
        foreign: whether the URL is that of a working folder's file, whoever wrote it.
    """

    values: Mapping[str, Setting] = field(default_factory=dict)
    keys: Mapping[str, str] = field(default_factory=dict, repr=False)
    foreign: bool = False


def find_settings(here: Path | None = None, own: Path | None = None) -> Settings:
    """The settings of the working folder's file and of the user's.

    Args:
        here: the working folder.
        own: the user's folder for settings.

    Raises:
        InputError: a file cannot be read or says what it must not; names it.
    """
    own = Path(typer.get_app_dir("unimoer-rag")) if own is None else own
    here = Path() if here is None else here
    values, keys = _read(own / FILE)
    nearer, theirs = ({}, {}) if _same(here, own) else _read(here / FILE)
    if theirs:
        raise InputError(
            f"{here / FILE} holds keys, which whoever gets the folder reads: keep [keys] in "
            f"{own / FILE}"
        )
    for name in nearer:
        values.pop(_PLACES.get(name, name), None)
    return Settings({**values, **nearer}, keys, foreign="url" in nearer)


def _same(here: Path, own: Path) -> bool:
    return here.resolve() == own.resolve()


def _read(path: Path) -> tuple[dict[str, Setting], dict[str, str]]:
    if not path.is_file():
        return {}, {}
    try:
        content = tomllib.loads(read_bounded(path, _BYTES, error=InputError).decode("utf-8"))
    except (ValueError, RecursionError) as error:  # what is no TOML or no UTF-8
        raise InputError(f"{path} is no TOML: {error}") from error
    keys = content.pop(_KEYS, {})
    for name, value in content.items():
        if name not in ENVIRONMENT:
            known = ", ".join([*ENVIRONMENT, _KEYS])
            raise InputError(f"{path}: unknown setting {name!r}: expected one of {known}")
        if not isinstance(value, str) or not value:
            raise InputError(f"{path}: {name} is {value!r:.80}: expected a text")
    if content.keys() >= _PLACES.keys():
        raise InputError(f"{path} has both index and url: leave out one of them")
    if not isinstance(keys, dict) or not all(isinstance(key, str) for key in keys.values()):
        raise InputError(f"{path}: {_KEYS} must be a table of texts, a key for each server's URL")
    if "index" in content:
        content["index"] = str(path.parent / Path(content["index"]).expanduser())
    return {name: Setting(value, str(path)) for name, value in content.items()}, keys


def default_map(command: Any, settings: Settings) -> dict[str, Any]:
    """What a command or group takes for its options where nothing nearer says it.

    Args:
        command: of Typer; its options are known by the variables of `ENVIRONMENT`.
        settings: the files'.
    """
    inner = getattr(command, "commands", {})
    found: dict[str, Any] = {name: default_map(c, settings) for name, c in inner.items()}
    for parameter in command.params:
        for name, setting in settings.values.items():
            if parameter.envvar == ENVIRONMENT[name]:
                found[parameter.name] = setting.value
    return found


def one_place(context: typer.Context, parameter: typer.CallbackParam, value: Any) -> Any:
    """Callback of the options for a folder and a server: what is nearer takes the other's place.

    Documents that are typed are not put into an index that is not (`ask --docs`).
    """
    name = str(parameter.name)
    if value is None or is_typed(context, name):
        return value
    other = _PLACES[name]
    typed = context.params.get(other) is not None and is_typed(context, other)
    from_file = _source(context, name) == "DEFAULT_MAP"
    nearer = typed or (from_file and os.environ.get(ENVIRONMENT[other]))
    return None if nearer or context.params.get("docs") else value


def key_of(context: typer.Context, parameter: typer.CallbackParam, value: str | None) -> str | None:
    """Callback of the option for a server's key: each server gets its own, a stranger's none."""
    url = context.params.get("url")
    if url is None or is_typed(context, str(parameter.name)):
        return value
    settings = context.find_root().obj
    if not isinstance(settings, Settings):
        return value
    if settings.foreign and _source(context, "url") == "DEFAULT_MAP":
        value = None
    own = (key for server, key in settings.keys.items() if same_server(server, url))
    return value or next(own, None)


def model_of(context: typer.Context, parameter: typer.CallbackParam, value: str | None) -> Any:
    """Callback of the option for an index's model: an index that is there has its own.

    What is not typed is for new ones.
    """
    index = context.params.get("index")
    if value is None or index is None or is_typed(context, str(parameter.name)):
        return value
    from unimoer_rag.retrieval import is_index

    return None if is_index(index) else value


def is_typed(context: typer.Context, name: str) -> bool:
    """Whether a parameter stands on the command line, and is no setting or default."""
    return _source(context, name) == "COMMANDLINE"


def _source(context: typer.Context, name: str) -> str:
    source = context.get_parameter_source(name)
    return "" if source is None else source.name


def settings_in_force(settings: Settings) -> dict[str, Setting]:
    """What the environment and the files say, for people to see: no keys, no passwords."""
    given = {n: Setting(os.environ[v], v) for n, v in ENVIRONMENT.items() if os.environ.get(v)}
    kept = {n: s for n, s in settings.values.items() if _PLACES.get(n) not in given}
    found = {**kept, **given}
    if "url" in found:
        found["url"] = Setting(shown_url(found["url"].value), found["url"].source)
    return found
