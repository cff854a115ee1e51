"""Groups of commands that read their first words in ways of their own."""

from __future__ import annotations

from typing import Any

from typer.core import TyperGroup

__all__ = ["PhraseGroup", "RunGroup"]


class RunGroup(TyperGroup):
    """`GROUP NAME` is short for `GROUP run NAME`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the command in front where it is left out."""
        if args and args[0] not in (*self.commands, *ctx.help_option_names):
            args = ["run", *args]
        return super().parse_args(ctx, args)


class PhraseGroup(TyperGroup):
    """Commands may have names of two words, and one of the first word alone beside them."""

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[Any, Any, list[str]]:
        """Take both words where they name a command."""
        phrase = " ".join(args[:2])
        if " " in phrase and phrase in self.commands:
            args = [phrase, *args[2:]]
        return super().resolve_command(ctx, args)
