"""Groups of commands in which a first word that is no command's name is what to run."""

from __future__ import annotations

from typing import Any

from typer.core import TyperGroup

__all__ = ["RunGroup"]


class RunGroup(TyperGroup):
    """`GROUP NAME` is short for `GROUP run NAME`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the command in front where it is left out."""
        if args and args[0] not in (*self.commands, *ctx.help_option_names):
            args = ["run", *args]
        return super().parse_args(ctx, args)
