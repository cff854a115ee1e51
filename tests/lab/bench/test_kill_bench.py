from __future__ import annotations

import json
from itertools import islice, pairwise

import pytest
from typer.testing import CliRunner

from unimoer_rag.cli.main import app
from unimoer_rag.lab.bench.kill_side import document, passages, steps


def test_a_plan_is_the_same_each_time() -> None:
    plan = list(islice(steps(3), 60))
    assert plan == list(islice(steps(3), 60))
    assert {step.kind for step in plan} == {"add", "update", "delete", "identity", "optimize"}
    for step, later in pairwise(plan):
        assert step.after == later.before
    one, two = (passages(document("a.md", version)) for version in (1, 2))
    assert len({p.id for p in one} & {p.id for p in two}) == 3


@pytest.mark.slow
def test_nothing_is_lost_by_kills_and_damage() -> None:
    done = CliRunner().invoke(app, ["bench", "kill", "--kills", "5", "--flips", "1", "--json", "-"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["well"]
    assert found["kills"]["kills"] == 5
    assert found["flips"]["detected"] >= 20
