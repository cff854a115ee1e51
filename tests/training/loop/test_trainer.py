"""The trainer: it learns, leaves the backbone alone, and goes on where it was stopped."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from training.process_runs import finish, start_slowly
from training.toy import toy_objectives, toy_recipe

from unimoer_rag.data.datasets import BeirDataset
from unimoer_rag.errors import TrainingError
from unimoer_rag.model.io.checkpoint import parameters_by_name
from unimoer_rag.model.unimoer import UniMoER
from unimoer_rag.training.loop.folder import RunFolder, summary
from unimoer_rag.training.loop.optimizer import make_optimizer, rate_at
from unimoer_rag.training.loop.trainer import Trainer
from unimoer_rag.training.objectives.objective import Draw
from unimoer_rag.training.recipe import Recipe
from unimoer_rag.training.run import make_model, train


@pytest.fixture(scope="module")
def recipe(tiny_bert: Path) -> Recipe:
    return toy_recipe(tiny_bert)


@pytest.fixture(scope="module")
def whole(recipe: Recipe, toy_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an uninterrupted run."""
    folder = tmp_path_factory.mktemp("whole")
    assert train(recipe, data=toy_data, output=folder)
    return folder


def _state(folder: Path) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = load_file(str(folder / "state.safetensors"))
    return tensors


def _log(folder: Path) -> list[dict[str, Any]]:
    """The log's lines, but for how long each step took."""
    lines = (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()
    return [{k: v for k, v in json.loads(line).items() if k != "seconds"} for line in lines]


def _same(left: Path, right: Path) -> None:
    ours, theirs = _state(left), _state(right)
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        torch.testing.assert_close(tensor, theirs[name], rtol=0, atol=0, msg=name)
    assert _log(left) == _log(right)


@pytest.mark.slow
def test_a_run_leaves_its_folder(whole: Path, recipe: Recipe) -> None:
    assert {path.name for path in whole.iterdir()} == {
        "recipe.json", "log.jsonl", "state.safetensors", "checkpoint", "mined", ".lock",
    }  # fmt: skip
    log = _log(whole)
    assert [line["step"] for line in log] == [1, 2, 3, 4, 5, 6]
    assert log[0]["losses"].keys() == {
        "read/span", "rerank/lce", "rerank/bce", "rerank/anchor",
        "embed/info-nce", "embed/anchor", "routing/balance",
    }  # fmt: skip
    assert log[1]["losses"].keys() == {"read/span", "routing/balance"}
    assert log[0]["loss"] == pytest.approx(sum(log[0]["losses"].values()), abs=1e-4)
    assert log[0]["routing"]["read"] == {"shared": 0.5, "read": 0.5}
    model = UniMoER.from_pretrained(whole / "checkpoint", device="cpu", dtype="float32")
    state = _state(whole)
    for name, parameter in parameters_by_name(model).items():
        # Experts are kept in float16 in a checkpoint.
        torch.testing.assert_close(
            parameter.float(), state[f"parameter/{name}"], rtol=1e-3, atol=1e-5
        )


def test_only_what_was_used_is_updated(whole: Path) -> None:
    """A task that sits steps out leaves its expert's moments alone meanwhile."""
    state = _state(whole)
    counts = {
        name.split(".")[1]: int(tensor)
        for name, tensor in state.items()
        if name.startswith("step/experts.")
    }
    assert counts == {"shared": 6, "read": 6, "rerank": 3, "embed": 2}


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_stopped_run_goes_on_as_if_it_had_not_been(
    number: signal.Signals, whole: Path, recipe: Recipe, toy_data: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    process, told = start_slowly(recipe, toy_data, folder)
    while told.recv() != 3:
        pass
    assert process.pid is not None
    os.kill(process.pid, number)
    rest = []
    with contextlib.suppress(EOFError):
        while True:
            rest.append(told.recv())
    assert finish([process]) == [0 if number == signal.SIGINT else -signal.SIGKILL]
    assert rest == ["stopped"] * (number == signal.SIGINT)
    assert (folder / "checkpoint").is_dir() is (number == signal.SIGINT)
    kept = Trainer(make_model(recipe), recipe, folder)
    assert kept.step == (3 if number == signal.SIGINT else 2)
    assert [line["step"] for line in _log(folder)] == [1, 2, 3]  # cut when it goes on

    assert train(recipe, data=toy_data, output=folder)
    _same(folder, whole)


def test_a_finished_run_is_not_trained_further(
    whole: Path, recipe: Recipe, toy_data: Path, tmp_path: Path
) -> None:
    before = _state(whole)
    assert train(recipe, data=toy_data, output=whole)
    after = _state(whole)
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_save_after_the_step_in_hand(
    number: signal.Signals, recipe: Recipe, toy_data: Path, tmp_path: Path
) -> None:
    def stop(report: dict[str, Any]) -> None:
        if report["step"] == 1:
            signal.raise_signal(number)

    before = signal.getsignal(number)
    assert not train(recipe, data=toy_data, output=tmp_path, on_step=stop)
    assert signal.getsignal(number) is before
    assert Trainer(make_model(recipe), recipe, tmp_path).step == 1


def test_a_second_interrupt_acts_at_once(recipe: Recipe, toy_data: Path, tmp_path: Path) -> None:
    def stop(report: dict[str, Any]) -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    # A process started in the background ignores SIGINT: the usual handler is put in place.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            train(recipe, data=toy_data, output=tmp_path, on_step=stop)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


# -- accumulation, and the draws that it shares ---------------------------------------------


@pytest.mark.slow
def test_accumulated_losses_are_the_mean_of_their_draws(
    recipe: Recipe, toy: BeirDataset, tmp_path: Path
) -> None:
    """One step over two draws reports what each of the two would have at the same parameters."""
    one = recipe.optimizer.model_copy(update={"steps": 1})
    still = one.model_copy(update={"learning_rate": {"default": 1e-30}, "steps": 4})
    twice = recipe.model_copy(update={"optimizer": one.model_copy(update={"accumulate": 2})})
    single = recipe.model_copy(update={"optimizer": still})

    def reports(recipe: Recipe, folder: Path, steps: int) -> list[dict[str, Any]]:
        model = make_model(recipe)
        objectives = toy_objectives(recipe, model, toy, tmp_path / "cache")
        trainer = Trainer(model, recipe, folder)
        return [trainer.train_step(objectives) for _ in range(steps)]

    (both,) = reports(twice, tmp_path / "both", 1)
    apart = reports(single, tmp_path / "apart", 4)
    # Reading draws at every step, ranking at every second, embedding at every third.
    for name, at in {"read/span": 1, "rerank/lce": 2, "embed/info-nce": 3}.items():
        mean = (apart[0]["losses"][name] + apart[at]["losses"][name]) / 2
        assert both["losses"][name] == pytest.approx(mean, abs=2e-5), name


def test_a_schedule_acts_between_backward_and_update(
    recipe: Recipe, toy: BeirDataset, tmp_path: Path
) -> None:
    seen: list[int] = []

    class Watcher:
        def after_backward(self, step: int) -> None:
            assert any(p.grad is not None for p in parameters_by_name(model).values())
            seen.append(step)

    model = make_model(recipe)
    trainer = Trainer(model, recipe, tmp_path, schedules=[Watcher()])
    objectives = toy_objectives(recipe, model, toy, tmp_path / "cache")
    for _ in range(2):
        trainer.train_step(objectives)
        assert all(p.grad is None for p in parameters_by_name(model).values())
    assert seen == [0, 1]


def test_every_regulariser_is_reported_and_teaches_the_router(
    recipe: Recipe, toy: BeirDataset, tmp_path: Path
) -> None:
    routing = recipe.routing.model_copy(update={"balance": 0.5})
    asking = recipe.model_copy(update={"routing": routing})
    model = make_model(asking)
    before = {n: p.detach().clone() for n, p in model.router.named_parameters()}
    trainer = Trainer(model, asking, tmp_path)
    report = trainer.train_step(toy_objectives(asking, model, toy, tmp_path / "cache"))
    found = {n: v for n, v in report["losses"].items() if n.startswith("routing/")}
    assert found.keys() == {"routing/balance"}
    # An untrained router splits evenly: balance is 1 before its weight.
    assert found["routing/balance"] == pytest.approx(0.5, abs=1e-3)
    assert any(not torch.equal(p, before[n]) for n, p in model.router.named_parameters())


def test_an_even_split_is_one_over_what_each_layer_has(
    recipe: Recipe, toy: BeirDataset, tmp_path: Path
) -> None:
    """Where an expert is in some layers alone, no row is asked to use it elsewhere."""
    kept = dict(recipe.experts)
    for name in ("embed", "rerank", "read"):
        kept[f"{name}-low"] = kept[name].model_copy(update={"layers": (0,)})
    tasks = tuple(
        task.model_copy(update={"experts": (*task.experts, f"{task.name}-low")})
        for task in recipe.tasks
    )
    routing = recipe.routing.model_copy(update={"balance": 1.0})
    asking = recipe.model_copy(update={"experts": kept, "tasks": tasks, "routing": routing})
    model = make_model(asking)
    trainer = Trainer(model, asking, tmp_path)
    report = trainer.train_step(toy_objectives(asking, model, toy, tmp_path / "cache"))
    assert report["losses"]["routing/balance"] == pytest.approx(1.0, abs=1e-3)


# -- what a folder may hold -----------------------------------------------------------------


def test_another_recipes_folder_is_refused(whole: Path, recipe: Recipe, toy_data: Path) -> None:
    kept = (whole / "state.safetensors").read_bytes()
    with pytest.raises(TrainingError, match=r"holds a run of another recipe.*another output"):
        train(recipe.model_copy(update={"seed": 1}), data=toy_data, output=whole)
    assert (whole / "state.safetensors").read_bytes() == kept


@pytest.mark.parametrize("size", [0, 40, -100])
def test_a_damaged_state_is_refused(size: int, whole: Path, recipe: Recipe, tmp_path: Path) -> None:
    Trainer(make_model(recipe), recipe, tmp_path)
    data = (whole / "state.safetensors").read_bytes()
    (tmp_path / "state.safetensors").write_bytes(data[:size])
    with pytest.raises(TrainingError, match=r"state\.safetensors is damaged.*delete it"):
        Trainer(make_model(recipe), recipe, tmp_path)


def test_a_state_without_a_parameter_is_refused(
    whole: Path, recipe: Recipe, tmp_path: Path
) -> None:
    Trainer(make_model(recipe), recipe, tmp_path)
    tensors = _state(whole)
    del tensors["parameter/heads.read.out.weight"]
    save_file(tensors, str(tmp_path / "state.safetensors"), metadata={"step": "6"})
    with pytest.raises(TrainingError, match=r"damaged.*heads\.read\.out\.weight"):
        Trainer(make_model(recipe), recipe, tmp_path)


def test_a_state_of_another_shape_is_refused(whole: Path, recipe: Recipe, tmp_path: Path) -> None:
    """Also one that could be broadcast to what the model has."""
    state = _state(whole)
    state["parameter/heads.read.out.weight"] = state["parameter/heads.read.out.weight"][:1].clone()
    Trainer(make_model(recipe), recipe, tmp_path)
    save_file(state, str(tmp_path / "state.safetensors"), metadata={"step": "6"})
    with pytest.raises(TrainingError, match=r"damaged.*heads\.read\.out\.weight.*shape \(1, "):
        Trainer(make_model(recipe), recipe, tmp_path)


def test_a_torn_log_loses_its_last_line(whole: Path, recipe: Recipe, tmp_path: Path) -> None:
    Trainer(make_model(recipe), recipe, tmp_path)
    (tmp_path / "state.safetensors").write_bytes((whole / "state.safetensors").read_bytes())
    lines = (whole / "log.jsonl").read_text(encoding="utf-8")
    torn = lines + '{"step": 7, "losses": {"read/span": 1.0}'  # ends like a whole line
    (tmp_path / "log.jsonl").write_text(torn, encoding="utf-8")
    assert Trainer(make_model(recipe), recipe, tmp_path).run([])
    assert (tmp_path / "log.jsonl").read_text(encoding="utf-8") == lines


def test_a_log_without_a_state_starts_again(recipe: Recipe, tmp_path: Path) -> None:
    Trainer(make_model(recipe), recipe, tmp_path)
    (tmp_path / "log.jsonl").write_text('{"step": 1}\n', encoding="utf-8")
    trainer = Trainer(make_model(recipe), recipe, tmp_path)
    assert trainer.step == 0
    assert trainer.run([])
    assert [line["step"] for line in _log(tmp_path)] == [1, 2, 3, 4, 5, 6]


def test_a_folder_that_cannot_be_written_is_a_training_error(
    recipe: Recipe, tmp_path: Path
) -> None:
    (tmp_path / "taken").write_text("a file", encoding="utf-8")
    with pytest.raises(TrainingError, match=r"could not write .*taken"):
        Trainer(make_model(recipe), recipe, tmp_path / "taken")
    trainer = Trainer(make_model(recipe), recipe, tmp_path / "run")
    (tmp_path / "run" / "state.safetensors").mkdir()  # the state cannot be written there
    with pytest.raises(TrainingError, match=r"could not write .*state\.safetensors"):
        trainer.save()


# -- learning -------------------------------------------------------------------------------


@pytest.mark.slow
def test_training_lowers_the_loss_and_leaves_the_backbone(
    tiny_bert: Path, toy: BeirDataset, tmp_path: Path
) -> None:
    recipe = toy_recipe(
        tiny_bert,
        objectives={
            "read": {
                "kind": "reading",
                "task": "read",
                "sources": ["toy"],
                "size": 8,
                "unanswerable": 0.0,
                "crop": 1.0,
                "crop_words": 20,
            }
        },
        optimizer={"steps": 25, "learning_rate": {"default": 2e-2}, "token_budget": 1024},
    )
    model = make_model(recipe)
    trained = {id(parameter) for parameter in parameters_by_name(model).values()}
    frozen = {
        name: parameter.detach().clone()
        for name, parameter in model.named_parameters()
        if id(parameter) not in trained
    }
    assert len(frozen) > 20
    before = {name: p.detach().clone() for name, p in parameters_by_name(model).items()}
    trainer = Trainer(model, recipe, tmp_path)
    assert trainer.run(toy_objectives(recipe, model, toy, tmp_path))
    losses = [line["losses"]["read/span"] for line in _log(tmp_path)]
    assert sum(losses[-5:]) < 0.6 * sum(losses[:5])
    for name, parameter in model.named_parameters():
        if name in frozen:
            assert torch.equal(parameter, frozen[name]), name
            assert parameter.grad is None
    moved = {
        name for name, p in parameters_by_name(model).items() if not torch.equal(p, before[name])
    }
    assert any(name.startswith("experts.read.") for name in moved)
    assert any(name.startswith("heads.read.") for name in moved)
    # Nothing reached the experts and heads of tasks that took no part.
    assert not any(name.startswith(("experts.embed.", "heads.rerank.")) for name in moved)


class _Bad:
    """An objective that goes wrong at its third draw."""

    name = "bad"

    def __init__(self, model: UniMoER, how: str, every: int = 1) -> None:
        self.model, self.how, self.every = model, how, every

    def draw(self, index: int) -> Draw:
        rows = self.model.rows.single(["the library opens at nine"], self.model.task("embed"))

        def loss(outputs: list[Any], frozen: list[Any]) -> dict[str, Tensor]:
            value = outputs[0].sum()
            if index == 2 and self.how == "loss":
                return {"bad/sum": value * torch.nan}
            if index == 2:  # finite, with a gradient of 0 times infinity
                return {"bad/sum": (value * 0).sqrt()}
            return {"bad/sum": value}

        return Draw(rows, anchored=False, loss=loss)


@pytest.mark.parametrize("how", ["loss", "gradient"])
def test_what_is_not_finite_stops_the_run_saved(how: str, recipe: Recipe, tmp_path: Path) -> None:
    model = make_model(recipe)
    trainer = Trainer(model, recipe.model_copy(update={"save_every": 100}), tmp_path)
    with pytest.raises(TrainingError, match=f"the {how} is nan at step 2: lower the learning rate"):
        trainer.run([_Bad(model, how)])
    state = _state(tmp_path)
    assert all(bool(torch.isfinite(tensor).all()) for tensor in state.values())
    assert Trainer(make_model(recipe), trainer.recipe, tmp_path).step == 2
    assert [line["step"] for line in _log(tmp_path)] == [1, 2]


def test_a_step_that_everyone_sits_out_changes_nothing(recipe: Recipe, tmp_path: Path) -> None:
    model = make_model(recipe)
    trainer = Trainer(model, recipe, tmp_path)
    objective = _Bad(model, "never", every=2)
    trainer.train_step([objective])
    before = {name: p.detach().clone() for name, p in parameters_by_name(model).items()}
    report = trainer.train_step([objective])
    assert (report["step"], report["loss"], report["tokens"]) == (2, 0.0, 0)
    assert all(torch.equal(p, before[n]) for n, p in parameters_by_name(model).items())


@pytest.mark.slow
def test_validation_goes_into_the_log(recipe: Recipe, toy_data: Path, tmp_path: Path) -> None:
    seen: list[str] = []

    def validate(model: UniMoER) -> dict[str, float]:
        seen.append(model.checkpoint)
        return {"measured": float(len(seen))}

    often = recipe.model_copy(update={"validate_every": 4})
    assert train(often, data=toy_data, output=tmp_path, validate=validate)
    found = {line["step"]: line.get("validation") for line in _log(tmp_path)}
    assert found == {
        1: None, 2: None, 3: None, 4: {"measured": 1.0}, 5: None, 6: {"measured": 2.0},
    }  # fmt: skip


# -- the optimizer --------------------------------------------------------------------------


def test_the_rate_warms_up_and_falls(tiny_bert: Path) -> None:
    config = toy_recipe(
        tiny_bert,
        optimizer={"steps": 100, "learning_rate": {"default": 1.0}, "warmup": 0.1, "final": 0.2},
    ).optimizer
    rates = [rate_at(step, config) for step in range(100)]
    assert rates[:10] == pytest.approx([(step + 1) / 10 for step in range(10)])
    assert rates[10] == 1.0
    assert rates[55] == pytest.approx(0.2 + 0.8 / 2)
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] == pytest.approx(0.2, abs=1e-3)
    assert max(rate_at(s, config.model_copy(update={"warmup": 0.025})) for s in range(100)) == 1.0


def test_each_expert_has_its_rate(tiny_bert: Path) -> None:
    recipe = toy_recipe(
        tiny_bert,
        optimizer={
            "steps": 1,
            "learning_rate": {
                "read": 0.1,
                "embed": 0.0,
                "router": 0.2,
                "heads": 0.3,
                "heads.read": 0.5,
                "default": 0.4,
            },
            "up_ratio": 2.0,
        },
    )
    named = parameters_by_name(make_model(recipe))
    optimizer = make_optimizer(named, recipe.optimizer)
    rate = {id(p): group["peak"] for group in optimizer.param_groups for p in group["params"]}
    peaks = {
        "router": 0.2, "heads": 0.3, "heads.read": 0.5, "experts.read": 0.1, "experts.embed": 0.0,
    }  # fmt: skip
    for name, parameter in named.items():
        kind, owner, *_ = name.split(".")
        expected = peaks.get(f"{kind}.{owner}", peaks.get(kind, 0.4))
        expected *= 2 if ".lora_B." in name else 1
        assert rate.get(id(parameter), 0.0) == expected, name
        assert parameter.requires_grad == (expected > 0)


def test_half_precision_is_not_trained(recipe: Recipe, whole: Path) -> None:
    loaded = UniMoER.from_pretrained(whole / "checkpoint", device="cpu", dtype="float32")
    with pytest.raises(TrainingError, match=r"experts\..* is torch.float16, as from_pretrained"):
        make_optimizer(parameters_by_name(loaded), recipe.optimizer)


# -- how a run stands -----------------------------------------------------------------------


@pytest.mark.slow
def test_a_summary_tells_how_a_run_stands(recipe: Recipe, toy_data: Path, tmp_path: Path) -> None:
    states: list[str] = []

    def stop(report: dict[str, Any]) -> None:
        states.append(summary(tmp_path).state)
        if report["step"] == 4:
            signal.raise_signal(signal.SIGTERM)

    often = recipe.model_copy(update={"validate_every": 3})
    measures = {"measured": 0.5}
    assert not train(
        often, data=toy_data, output=tmp_path, on_step=stop, validate=lambda model: measures
    )
    assert states == ["running"] * 4
    found = summary(tmp_path)
    assert (found.name, found.step, found.steps, found.state) == ("toy", 4, 6, "interrupted")
    assert found.losses == _log(tmp_path)[-1]["losses"]
    assert found.validation == measures
    assert train(often, data=toy_data, output=tmp_path)
    assert summary(tmp_path).state == "finished"


def test_a_folder_without_a_run_has_no_summary(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"holds no run: expected a folder with a recipe\.json"):
        summary(tmp_path)


def test_two_runs_do_not_share_a_folder(recipe: Recipe, toy_data: Path, tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text('{"step": 1}\n', encoding="utf-8")
    trainer = Trainer(make_model(recipe), recipe, tmp_path)
    with (
        RunFolder(tmp_path, recipe).taken(),
        pytest.raises(TrainingError, match=r"another process is training in .*wait for it"),
    ):
        trainer.run([])
    # What the one that has it did since it last saved is still told.
    assert [line["step"] for line in _log(tmp_path)] == [1]
