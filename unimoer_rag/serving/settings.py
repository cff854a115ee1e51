"""What a server is set by: arguments, options of the command, or `UNIMOER_SERVE_...` variables."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, SecretStr, ValidationError, field_validator

from unimoer_rag.errors import InputError
from unimoer_rag.extras import needs_extra
from unimoer_rag.serving.keys import Keys

with needs_extra("pydantic_settings", "serve", "a server"):
    from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

__all__ = ["ServeSettings"]

_LOOPBACK = ("127.0.0.1", "::1", "localhost")


class ServeSettings(BaseSettings):
    """The settings of a server; each is also an environment variable, `UNIMOER_SERVE_PORT` etc.

    Attributes:
        host: address to listen on; one that others reach needs keys, or `open`.
        port: to listen on; 0 for a free one.
        keys: bearer keys, as lines of `keys_file` separated by commas.
        keys_file: file of bearer keys, a line each: the key, then `read` (the default) or `write`.
        open: serve without keys on an address that others reach, as behind a proxy that asks for
            them.
        cors_origins: origins whose pages may ask from a browser; none may otherwise.
        names: the model's names in requests; the checkpoint's own where none are given.
        max_bytes: of a request's body.
        max_texts: of a request: inputs, documents, hits asked for.
        max_tokens: of a request's texts together, as the model reads them.
        max_concurrent: requests worked on at once; more are told to come again.
        mcp: whether the tools of the Model Context Protocol are at `/mcp`: `read`, or `write` for
            the one that adds documents, too (with keys, for those that may write).
        grace: seconds that requests under way may take when the server is asked to stop.
    """

    model_config = SettingsConfigDict(
        env_prefix="UNIMOER_SERVE_", frozen=True, extra="forbid", hide_input_in_errors=True
    )

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    keys: SecretStr | None = None
    keys_file: Path | None = None
    open: bool = False
    cors_origins: Annotated[tuple[str, ...], NoDecode] = ()
    names: Annotated[tuple[str, ...], NoDecode] = ()
    max_bytes: int = Field(default=8 << 20, ge=1)
    max_texts: int = Field(default=2048, ge=1)
    max_tokens: int = Field(default=300_000, ge=1)
    max_concurrent: int = Field(default=64, ge=1)
    mcp: Literal["off", "read", "write"] = "off"
    grace: float = Field(default=10.0, ge=0)

    @field_validator("cors_origins", "names", mode="before")
    @classmethod
    def _separated(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return tuple(part.strip() for part in value.split(",") if part.strip())

    @classmethod
    def load(cls, **given: Any) -> Self:
        """The settings, those that are None left to the environment and the defaults.

        Raises:
            InputError: a value cannot be used; names it.
        """
        try:
            return cls(**{name: value for name, value in given.items() if value is not None})
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            name = ".".join(map(str, first["loc"]))
            raise InputError(
                f"the server's setting {name!r} cannot be used: {first['msg']} (option or "
                f"UNIMOER_SERVE_{name.upper()})"
            ) from None

    @property
    def is_loopback(self) -> bool:
        """Whether only programs of this machine reach the address."""
        return self.host in _LOOPBACK or self.host.startswith("127.")

    def read_keys(self) -> Keys:
        """The bearer keys.

        Raises:
            InputError: one cannot be used, or there is none and others reach the address.
        """
        text = None if self.keys is None else self.keys.get_secret_value()
        found = Keys.load(self.keys_file, text)
        if not (found or self.is_loopback or self.open):
            raise InputError(
                f"host is {self.host!r}, which lets others in, and there are no keys: give "
                "keys_file or keys, or say open where something before this server asks for them"
            )
        return found
