"""`unimoer-rag chat`: a conversation, piped in or typed at a terminal."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from cli_helpers import Command
from generation.faulty_server import faulty_server, stream, whole
from typer.testing import CliRunner, Result

from unimoer_rag.cli.main import app

MINILM = ("--checkpoint", "minilm")


def piped(*words: object, lines: str | bytes) -> Result:
    """Lines piped into the command."""
    return CliRunner().invoke(app, ["chat", *map(str, words)], input=lines)


@pytest.mark.slow
def test_lines_are_answered_with_what_was_said_before(few_documents: Path) -> None:
    lines = "How much is the deposit on a rented tent?\n\nAnd on a rented kayak?\n/sources\n"
    result = piped("--docs", few_documents, lines=lines)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("£75  confidence ")
    second = result.stdout[result.stdout.index("£100 for each boat  confidence ") :]
    assert "looked for: How much is the deposit on a rented kayak?\n" in second
    assert "[1] handbook/kayak-rental.md:" in second
    sources = second[second.index("condense ") :]
    assert "handbook/kayak-rental.md" in sources
    assert "The deposit is £100 for each boat." in sources


@pytest.mark.slow
def test_each_answer_is_a_line_of_json(indexed: Path) -> None:
    asked = ["/sources", "How long do refunds take?", "Are they paid?", "/new", "Are they paid?"]
    lines = "\n".join([*asked, "/x", "/quit", "Never asked?"])
    result = piped("--index", indexed, *MINILM, "--json", lines=lines)
    assert result.exit_code == 0, result.output
    found = [json.loads(line) for line in result.stdout.splitlines()]
    assert [one["question"] for one in found] == [
        *("How long do refunds take?", "Are they paid?", "Are they paid?")
    ]
    made = "Are they paid (refunds)?"
    assert [one["standalone"] for one in found] == [None, made, None]
    assert result.stdout.isascii()
    assert "nothing has been asked yet" in result.stderr
    assert "no command /x" in result.stderr


@pytest.mark.slow
def test_what_documents_and_questions_say_moves_no_terminal(
    tmp_path: Path, eager_reader: Path
) -> None:
    (tmp_path / "evil.md").write_text("Cats\x1b[2J sleep \x9b31m for \u202e15 hours.", "utf-8")
    lines = b"how long do cats sleep?\nand \xff\x1b[2J dogs?\n/\x1b[2J\n"
    words = ("--docs", tmp_path, "--checkpoint", eager_reader, "--threshold", 0)
    for more in ((), ("--json",)):
        result = piped(*words, *more, lines=lines)
        assert result.exit_code == 0, result.output
        assert not set(result.output) & {"\x1b", "\x9b", "\u202e"}


@pytest.mark.slow
def test_a_failing_server_ends_a_pipe(indexed: Path) -> None:
    with faulty_server() as server:
        server.answers = [stream("Within ", "14 days [1]"), whole("That talks.")]
        server.answers += [stream("Soon", " enough"), stream("cut", end="")]
        lines = "How long do refunds take?\nAnd when is that?\nWhy?\nHow?\n"
        words = ("--index", indexed, *MINILM, "--chat-url", server.url)
        result = piped(*words, lines=lines)
    assert result.stdout.startswith("Within 14 days [1]\n\n[1] docs/")
    assert "Soon enough\n" in result.stdout
    assert result.exit_code == 1
    assert "broke off" in result.stderr


def test_wrong_options_are_refused_as_by_ask(run: Command, indexed: Path) -> None:
    for words, said in [
        ((), "--index DIR"),
        (("--index", "nowhere"), "there is no index at nowhere"),
        (("--index", indexed, "--filters", "[]"), "expected a JSON object"),
    ]:
        result = run("chat", *words)
        assert (result.exit_code, result.stdout) == (1, "")
        assert said in result.stderr


def test_ask_and_chat_take_the_same_options(run: Command) -> None:
    options = [
        {line.split()[1] for line in run(name, "--help").stdout.splitlines() if " --" in line}
        for name in ("ask", "chat")
    ]
    assert options[1] <= options[0]


def _take_terminal() -> None:
    """Let a new session's terminal send it Ctrl-C, also where the tests run in the background."""
    import fcntl
    import termios

    signal.signal(signal.SIGINT, signal.SIG_DFL)
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


class Terminal:
    """The command in a process of its own, on a terminal of its own."""

    def __init__(self, *words: object) -> None:
        pty = pytest.importorskip("pty")
        self._here, there = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "unimoer_rag.cli.main", "chat", *map(str, words)],
            stdin=there,
            stdout=there,
            stderr=there,
            start_new_session=True,
            preexec_fn=_take_terminal,
            env={**os.environ, "OMP_NUM_THREADS": "1", "TERM": "dumb"},
        )
        os.close(there)
        self._unread = ""

    def until(self, text: str) -> str:
        """What is shown up to a text."""
        while text not in self._unread:
            assert select.select([self._here], [], [], 300)[0], self._unread
            try:
                self._unread += os.read(self._here, 4096).decode("utf-8", "replace")
            except OSError:  # the end, on Linux
                raise AssertionError(f"ended before {text!r}: {self._unread}") from None
        at = self._unread.index(text) + len(text)
        seen, self._unread = self._unread[:at], self._unread[at:]
        return seen

    def type(self, text: str) -> None:
        os.write(self._here, text.encode())

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._here)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="there are no such terminals")
def test_a_terminal_asks_and_stops(indexed: Path) -> None:
    with faulty_server() as server:
        server.answers = [stream(*["word "] * 600, every=0.5)]
        terminal = Terminal("--index", indexed, *MINILM, "--chat-url", server.url)
        try:
            terminal.until("> ")
            terminal.type("How long do refunds take?\n")
            terminal.until("word word ")
            terminal.type("\x03")  # Ctrl-C
            terminal.until("stopped")
            assert server.hung_up.wait(60)
            terminal.until("> ")
            server.answers = [stream("The end.")]
            terminal.type("Are those paid?\n")
            terminal.until("The end.")
            # What was stopped was no answer: nothing was said before this question.
            assert "looked for" not in terminal.until("> ")
            assert len(server.requests) == 2
            terminal.type("\x04")  # Ctrl-D
            assert terminal.process.wait(300) == 0
        finally:
            terminal.close()
