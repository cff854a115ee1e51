"""YAML of others: bounded before it costs, and refused with its file and line."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict

from unimoer_rag.errors import InputError, TrainingError
from unimoer_rag.yaml_files import parse_yaml, read_yaml


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")
    n: int


class Outer(BaseModel):
    model_config = ConfigDict(extra="forbid")
    a: Inner | None = None
    b: list[Inner] = []


LAUGHS = "a0: &a0 [x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 20)
)
MERGES = "a0: &a0 {x: 1}\n" + "".join(
    f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}\n" for n in range(1, 20)
)
CHAIN = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 2000))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[" * 100_000, "line 1: nested deeper than 50"),
        ("{a: " * 60_000, "line 1: nested deeper than 50"),
        ("\n".join(" " * n + "a:" for n in range(600)), r"line 5\d: nested deeper than 50"),
        ("- " * 5_000, "line 1: nested deeper than 50"),
        (LAUGHS, r"line \d+: more than 50,000 values"),
        (MERGES, r"line \d+: more than 50,000 values"),
        (CHAIN, r"line \d+: nested deeper than 50"),
        ("a: &a [*a]", "line 1: an alias stands inside what it names"),
        ("a: &a {<<: *a}", "line 1: an alias stands inside what it names"),
        ("a: *b", "line 1: found undefined alias"),
        ("a: 1\nb: 2\na: 3", "line 3: the key 'a' stands twice"),
        ("x:\n  - {a: 1, a: 2}", "line 2: the key 'a' stands twice"),
        ("a: 1\n---\nb: 2", "line 2: expected a single document"),
        (f"a: {'9' * 5000}", "line 1: no such value .Exceeds the limit"),
        ("a: 1\nb: 2026-13-45", "line 2: no such value .month must be"),
        ("a: !!timestamp x", "line 1: no such value"),
        ("a: !!bool many", "line 1: no such value"),
        ("a: !!python/object/apply:os.system [true]", "line 1: could not determine a constructor"),
        ("? [a]\n: b", "line 1: while constructing a mapping: found unhashable key"),
        ("a: \x00", "unacceptable character"),
        ("a: [", "line 1: "),
        ("x" * 300_000, "longer than 262,144 characters"),
    ],
    ids=lambda value: value[:12] if isinstance(value, str) else None,
)
def test_what_would_cost_or_lose_something_is_refused(text: str, said: str) -> None:
    with pytest.raises(InputError, match=f"^the setting is not YAML: {said}"):
        parse_yaml(text, what="the setting")


def test_an_alias_costs_what_it_names_and_no_more() -> None:
    tracemalloc.start()
    with pytest.raises(InputError):
        parse_yaml(LAUGHS, what="it")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20e6


def test_aliases_and_merges_that_are_of_use_stay() -> None:
    text = "base: &base {n: 1, m: 2}\nmine: {<<: *base, m: 3}\nagain: *base"
    found = parse_yaml(text, what="it")
    assert found["mine"] == {"n": 1, "m": 3}
    assert found["again"] == found["base"] == {"n": 1, "m": 2}


@given(st.text("ab:-[]{}&*!<>|?'\"#, \n\t%@1.", max_size=60))
def test_any_text_is_a_value_or_one_line_of_error(text: str) -> None:
    said = ""
    try:
        parse_yaml(text, what="it")
    except InputError as error:
        said = str(error)
    assert "\n" not in said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: {n: 1}\nc: 2", ":2: c: unknown key, expected one of a, b: leave it out"),
        ("a:\n  n: x", r":2: a\.n: expected a whole number, not 'x'"),
        ("b:\n  - n: 1\n  - n: x", r":3: b\.1\.n: expected a whole number, not 'x'"),
        ("a:\n  {}", r":1: a\.n: missing: add it, as in `n: \.\.\.`"),
        ("b:\n  - {m: 1, n: 2}", r":2: b\.0\.m: unknown key, expected n: leave it out"),
        ("[]", ":1: sample: expected keys with values, as in `key: value`, not a list"),
        ("", ":1: sample: expected keys with values, as in `key: value`, not nothing"),
        ("1: 2", ":1: 1: "),
    ],
)
def test_a_mistake_is_named_with_its_file_line_and_key(
    tmp_path: Path, text: str, said: str
) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(TrainingError, match=rf"bad\.yaml{said}"):
        read_yaml(path, Outer, whole="sample", error=TrainingError)


def test_files_that_are_none_of_it(tmp_path: Path) -> None:
    for name, content, said in (
        ("latin.yaml", b"a: 1\nb: \xff", "is not YAML: line 2: not UTF-8"),
        ("large.yaml", b"#" * 300_000, "is larger than the 262,144 bytes"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(TrainingError, match=f"{name} {said}"):
            read_yaml(tmp_path / name, Outer, whole="sample", error=TrainingError)
    with pytest.raises(TrainingError, match=r"cannot read .*none\.yaml: No such file"):
        read_yaml(tmp_path / "none.yaml", Outer, whole="sample", error=TrainingError)
    with pytest.raises(TrainingError, match="cannot read"):
        read_yaml(tmp_path / "a\0b", Outer, whole="sample", error=TrainingError)


def test_a_byte_order_mark_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "marked.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: {n: 3}")
    assert read_yaml(path, Outer, whole="sample", error=InputError).a == Inner(n=3)
