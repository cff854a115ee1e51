"""A domain's own experts: EMBED and RERANK trained on a user's documents and questions.

The new checkpoint embeds and reranks by experts of the domain, which begin silent, as the frozen
backbone, and alone learn. Its other tasks compute with the experts they had, so they give bit for
bit what they gave: that is checked before anything is written. The old checkpoint stays as it is,
for the documents of every other domain.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from unimoer_rag.data import (
    BeirDataset,
    Sources,
    own_datasets,
    own_passages,
    pseudo_questions,
    questions_sha256,
    with_pseudo_questions,
)
from unimoer_rag.errors import InputError, TrainingError
from unimoer_rag.model import (
    CONFIG,
    EmbeddingHead,
    ScoringHead,
    TaskConfig,
    UniMoER,
    load_own,
)
from unimoer_rag.progress import Progress, silent
from unimoer_rag.retrieval import Chunker
from unimoer_rag.training.extending.extend import changed_tasks, task_outputs
from unimoer_rag.training.loop.folder import RunFolder
from unimoer_rag.training.loop.trainer import StepReport, Trainer
from unimoer_rag.training.objectives.kept import KeptOutputs
from unimoer_rag.training.objectives.kinds import Contrastive, ObjectiveConfig
from unimoer_rag.training.objectives.material import Material
from unimoer_rag.training.overrides import on_source
from unimoer_rag.training.own import OwnRun, differences, judge, measured
from unimoer_rag.training.recipe import Recipe, Routing
from unimoer_rag.training.run import make_objectives

__all__ = ["Domain", "add_domain", "learn_domain"]

_TASKS: Mapping[str, type] = {"embed": EmbeddingHead, "rerank": ScoringHead}


@dataclass(frozen=True, slots=True)
class Domain:
    """What came of it.

    Attributes:
        finished: False where the run was interrupted; run again, it goes on.
        unchanged: the tasks whose outputs were found bit-identical.
        pseudo: questions made of the documents, where none were given; else 0.
        own: held-out questions before and after; None without questions, which measure nothing.
    """

    finished: bool
    unchanged: tuple[str, ...] = ()
    pseudo: int = 0
    own: OwnRun | None = None


def add_domain(
    name: str,
    recipe: Recipe,
    *,
    checkpoint: str,
    documents: Path,
    questions: Path | None,
    output: Path,
    held_out: float = 0.2,
    on_progress: Progress = silent,
    on_step: Callable[[StepReport], None] = lambda report: None,
) -> Domain:
    """Train a domain's experts on documents and questions, and write the checkpoint of it.

    Args:
        name: of the domain; its experts are called `NAME-EXPERT`, by those of the recipe.
        recipe: experts, objectives and optimizer of the tasks `embed` and `rerank`.
        checkpoint: as for `UniMoER.from_pretrained`; it is not changed.
        documents: a folder, as for indexing.
        questions: a file; see `data.own_questions`. Without one, sentences of the documents stand
            in for questions, and no gain can be measured.
        output: folder of the new checkpoint. The run's own folder is `run` inside it; a run that
            is there already is resumed.
        held_out: share of the questions that is measured on.
        on_progress: called with a phase, what is done of it and its size.
        on_step: called with each step's report.

    Raises:
        CheckpointError: the checkpoint cannot be used.
        ReadError: no document can be read.
        DataError: the questions are malformed or too few.
        InputError: the checkpoint has an expert of that name, or lacks a task that the domain's
            experts could serve.
        TrainingError: the folder holds another run or checkpoint, the loss is no longer finite, or
            another task's output changed.
    """
    run = output / "run"
    if (output / CONFIG).exists() and not run.is_dir():
        raise TrainingError(f"{output} holds a checkpoint already: choose another output folder")
    model = load_own(checkpoint)
    split = Chunker(model.tokenizer.backend_tokenizer).split
    if questions is None:
        read = own_passages(documents, split=split, but_not=[output])
        train = pseudo_questions(name, read.as_documents(), seed=recipe.seed)
        finished, unchanged = learn_domain(
            model, name, recipe, train, run=run, on_progress=on_progress, on_step=on_step
        )
        if finished:
            model.save_pretrained(output)
        return Domain(finished, unchanged, len(train.questions))
    data = own_datasets(
        documents, questions, split=split, name=name, held_out=held_out, but_not=output
    )
    start = UniMoER.from_pretrained(checkpoint)
    before = measured(start, data.dev, run / "before.json", on_progress)
    del start
    finished, unchanged = learn_domain(
        model, name, recipe, data.train, run=run, on_progress=on_progress, on_step=on_step
    )
    if not finished:
        return Domain(False)
    model.save_pretrained(output)
    after = measured(
        UniMoER.from_pretrained(str(output)), data.dev, run / "after.json", on_progress, again=True
    )
    found = differences(before, after)
    return Domain(True, unchanged, own=OwnRun(True, data.report, found, judge(found)))


def learn_domain(
    model: UniMoER,
    name: str,
    recipe: Recipe,
    train: BeirDataset,
    *,
    run: Path,
    cache: Path | None = None,
    outputs: KeptOutputs | None = None,
    on_progress: Progress = silent,
    on_step: Callable[[StepReport], None] = lambda report: None,
) -> tuple[bool, tuple[str, ...]]:
    """Give a model the experts of a domain, and train them in place.

    Args:
        model: held by nobody else; its tasks `embed` and `rerank` become those of the domain.
        name: of the domain.
        recipe: see `add_domain`.
        train: questions and passages to learn from.
        run: the run's folder; a run that is there already is resumed.
        cache: folder of mined negatives, to share between runs; the run's own without.
        outputs: what the frozen backbone gives for passages, where some is known; takes the rest.
        on_progress: told of mining.
        on_step: called with each step's report.

    Returns:
        Whether the last step was reached, and the tasks found bit-identical to before.

    Raises:
        DataError: no question can be learnt from.
        InputError: see `add_domain`.
        TrainingError: see `add_domain`.
    """
    before = {task: output for task, output in task_outputs(model).items() if task not in _TASKS}
    described = f"checkpoint {model.checkpoint_digest}, questions {questions_sha256(train)}"
    torch.manual_seed(recipe.seed)
    turned = _turned(recipe, model, name, described)
    for expert, config in turned.experts.items():
        model.add_expert(expert, config.spec())
    for task in turned.tasks:
        model.change_task(task.task())
    kept = cache or RunFolder(run, turned).mined
    asked = with_pseudo_questions(train, recipe.pseudo_questions, seed=recipe.seed)
    sources = Sources(Path(), given={name: asked}, cache=kept)
    material = Material(
        turned.mining, model, sources, cache=kept, on_progress=on_progress, outputs=outputs
    )
    # Before the trainer, which takes an earlier run up: what mines is the backbone, each time.
    objectives = make_objectives(turned, model, material)
    if not Trainer(model, turned, folder=run).run(objectives, on_step=on_step):
        return False, ()
    model.eval().pack()  # what is checked and measured is what the file will hold
    after = task_outputs(model)
    if changed := changed_tasks(before, after):
        raise TrainingError(
            f"training the domain {name!r} changed what {', '.join(changed)} give: nothing was "
            f"written; please report this with the folder {run}"
        )
    return True, tuple(before)


def _turned(recipe: Recipe, model: UniMoER, name: str, described: str) -> Recipe:
    """The recipe for this model, domain and data: it trains the domain's experts alone.

    What it says of the experts and of what they learn holds; how the tasks are asked (their head,
    length and feedback) is the checkpoint's own.
    """
    named = {expert: f"{name}-{expert}" for expert in recipe.experts}
    taught = [
        task
        for task in recipe.tasks
        if task.name in model.tasks
        and task.name in _TASKS
        and issubclass(model.task(task.name).head_type, _TASKS[task.name])
    ]
    objectives = _fitting(recipe, model, {task.name for task in taught})
    if not objectives:
        raise InputError(
            f"the recipe {recipe.name} trains nothing of {model.checkpoint}: expected objectives "
            f"of the tasks {' and '.join(_TASKS)}, which the checkpoint's heads can learn by"
        )
    said = recipe.optimizer.learning_rate
    rates = {"default": 0.0}
    for task in taught:
        for expert in task.experts:
            rates[named[expert]] = said.get(expert, said["default"])
        rates[f"heads.{task.name}"] = said.get(
            f"heads.{task.name}", said.get("heads", said["default"])
        )
    tasks = [
        replace(
            model.task(task.name),
            experts=tuple(named[expert] for expert in task.experts),
            strength=1.0,
            queries_only=task.queries_only,
        )
        for task in taught
    ]
    used = {expert: recipe.experts[expert] for task in taught for expert in task.experts}
    return on_source(
        recipe.model_copy(
            update={
                "name": f"domain-{name}",
                "description": described,
                "backbone": model.backbone_name,
                "start": None,
                "experts": {named[expert]: config for expert, config in used.items()},
                "tasks": tuple(TaskConfig(**asdict(task)) for task in tasks),
                "objectives": objectives,
                "routing": Routing(balance=0.0),
                "optimizer": recipe.optimizer.model_copy(update={"learning_rate": rates}),
            }
        ),
        name,
    )


def _fitting(recipe: Recipe, model: UniMoER, taught: Collection[str]) -> dict[str, ObjectiveConfig]:
    """The objectives that the model's heads can learn by.

    Where RERANK keeps no token states, what would teach them and text vectors in one pass teaches
    EMBED its vectors.
    """
    fitting: dict[str, ObjectiveConfig] = {}
    for name, objective in recipe.objectives.items():
        task = objective.task
        if task in taught and issubclass(model.task(task).head_type, objective.teaches):
            fitting[name] = objective
        elif isinstance(objective, Contrastive) and "embed" in taught:
            losses = tuple(term for term in objective.losses if not term.needs_tokens)
            if losses and task in _TASKS:
                fitting[name] = objective.model_copy(update={"task": "embed", "losses": losses})
    return fitting
