"""`unimoer-rag chat`: one question after another, each with what was said before it."""

from __future__ import annotations

import io
import sys
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING

import typer
from rich.text import Text

from unimoer_rag.cli.answering import Answering, Opened, opened, planned, tell_untrained
from unimoer_rag.cli.answers import print_answer, print_hits
from unimoer_rag.cli.option_groups import with_options
from unimoer_rag.cli.output import INCOMPLETE, JsonFlag, print_line, print_note, print_text
from unimoer_rag.cli.retrieval_options import ModelChoice, NewIndex, PipelinePlace
from unimoer_rag.errors import UnimoerError

if TYPE_CHECKING:
    from unimoer_rag.pipelines import Answer

__all__ = ["chat"]

_PROMPT = "> "
_KEPT = 8  # answers of a conversation
_HELP = """/sources  the passages that the last answer was read from
/new      forget what was said
/help     these lines
/quit     leave, as Ctrl-D does; Ctrl-C stops an answer"""


@with_options
def chat(
    context: typer.Context,
    *,
    place: PipelinePlace,
    how: Answering,
    model: ModelChoice,
    made: NewIndex,
    as_json: JsonFlag = False,
) -> None:
    """Answer one question after another; what was said before counts.

    Type questions at the prompt, or pipe them in, one a line. A follow-up ("And on Sundays?") is
    made a question of its own, which is shown, looked for and answered. /help lists the commands.
    With --json each answer is one line of JSON.
    """
    typed = sys.stdin.isatty() and sys.stdout.isatty() and not as_json
    with opened(context, planned(context, place, model, made, how)) as ready:
        if ready.untrained:
            tell_untrained(ready.untrained)
        conversation = _Conversation(ready, as_json=as_json)
        if typed:
            _talk(conversation)
        else:
            for line in _piped():
                if not conversation.take(line):
                    break
    if not ready.complete:
        raise typer.Exit(INCOMPLETE)


class _Conversation:
    """Takes lines and answers them."""

    def __init__(self, ready: Opened, *, as_json: bool) -> None:
        self._ready, self._as_json = ready, as_json
        self._answers: deque[Answer] = deque(maxlen=_KEPT)

    def take(self, line: str) -> bool:
        """Do what a line says; False where it says to leave."""
        line = line.strip()
        match line:
            case "":
                pass
            case "/quit":
                return False
            case "/new":
                self._answers.clear()
            case "/sources":
                self._tell_sources()
            case "/help":
                print_note(_HELP)
            case _ if line.startswith("/"):
                print_note(f"no command {line.split()[0]}:\n{_HELP}")
            case _:
                self._answer(line)
        return True

    def _answer(self, question: str) -> None:
        ask = self._ready.answer if self._as_json else self._ready.streamed
        answer = ask(question, list(self._answers))
        self._answers.append(answer)
        if self._as_json:
            print_line(answer.to_dict())
        else:
            print_answer(answer, streamed=answer.text is not None, places=self._ready.places)
        sys.stdout.flush()

    def _tell_sources(self) -> None:
        if not self._answers:
            print_note("nothing has been asked yet")
        elif self._as_json:
            print_note("the sources of an answer are in its line, under hits")
        else:
            print_hits(self._answers[-1])


def _talk(conversation: _Conversation) -> None:
    """Lines from the keyboard, until it is left."""
    _edit_lines()
    print_note("ask a question, or type /help")
    while True:
        try:
            if not conversation.take(input(_PROMPT)):
                return
        except EOFError:
            print_text("")
            return
        except KeyboardInterrupt:  # of the line that was begun, or of the answer
            print_note("stopped")
        except UnimoerError as error:
            print_note(Text.assemble(("error: ", "bold red"), str(error)))


def _edit_lines() -> None:
    """Let lines be edited and found again, in this process alone: no file keeps them."""
    try:
        import readline  # noqa: F401 - `input` uses it from then on
    except ImportError:  # on Windows, whose console does it
        return


def _piped() -> Iterator[str]:
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="replace")
    yield from sys.stdin
