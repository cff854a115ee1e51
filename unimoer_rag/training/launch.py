"""What a run was started with besides its recipe, kept in its folder so that it can go on."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from unimoer_rag.errors import TrainingError
from unimoer_rag.files import write_file
from unimoer_rag.training.loop.folder import kept_recipe

__all__ = ["Launch"]

_FILE = "run.json"


class Launch(BaseModel):
    """Where a run's data lies and how it is watched.

    Attributes:
        data: folder of the recipe's data sets, absolute.
        own: folder of a user's documents, absolute.
        questions: file of questions on them, absolute.
        validate_sets: measure on the development sets as it goes.
        track: where the numbers are sent.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: Path | None = None
    own: Path | None = None
    questions: Path | None = None
    validate_sets: bool = True
    track: Literal["tensorboard", "wandb"] | None = None

    def write(self, folder: Path) -> None:
        """Keep it in a run's folder.

        Raises:
            TrainingError: it cannot be written.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
            write_file(folder / _FILE, self.model_dump_json(indent=2))
        except OSError as error:
            raise TrainingError(f"could not write {folder / _FILE} ({error})") from error

    @classmethod
    def read(cls, folder: Path) -> Self:
        """What a run's folder keeps.

        Raises:
            TrainingError: the folder holds no run, or not how it was started.
        """
        kept_recipe(folder)
        try:
            return cls.model_validate_json((folder / _FILE).read_bytes())
        except (OSError, ValidationError) as error:
            raise TrainingError(
                f"{folder} does not say how its run was started (no sound {_FILE}): go on by the "
                "command that started it"
            ) from error
