"""The data sets of a recipe, opened as what objectives learn from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from unimoer_rag.data.corpora import cache_folder
from unimoer_rag.data.datasets import BeirDataset, load_beir
from unimoer_rag.data.examples import TrainingSet
from unimoer_rag.data.groups import open_rows
from unimoer_rag.data.hub import open_hub
from unimoer_rag.data.jsonl_rows import JsonlRows, Rows
from unimoer_rag.data.judged_groups import beir_set
from unimoer_rag.data.labelled import LabelledRows
from unimoer_rag.data.source_settings import (
    BeirSource,
    HubSource,
    LabelledSource,
    ScoredSource,
    SourceConfig,
    TriplesSource,
)
from unimoer_rag.errors import DataError

__all__ = ["Sources"]


class Sources:
    """Opens data sets by name; each is read when it is asked for, and once.

    Args:
        folder: the data folder.
        configs: what each data set is; a name that is not there is a BEIR folder of that name.
        given: data sets that are open already, in place of any of that name.
        cache: folder of indices and unpacked files; by default with the Hub's files.
    """

    def __init__(
        self,
        folder: Path,
        configs: Mapping[str, SourceConfig] = {},
        *,
        given: Mapping[str, BeirDataset] = {},
        cache: Path | None = None,
    ) -> None:
        self._folder, self._configs = folder, configs
        self._cache = cache_folder("training", cache)
        self._beir = dict(given)
        self._groups: dict[str, TrainingSet] = {}
        self._labelled: dict[str, LabelledRows] = {}

    def config(self, name: str) -> SourceConfig:
        """What a data set is."""
        return self._configs.get(name, BeirSource())

    def is_mined(self, name: str) -> bool:
        """Whether its groups get mined negatives: BEIR folders always, others where asked for."""
        config = self.config(name)
        beir = name in self._beir or isinstance(config, BeirSource)
        return beir or (isinstance(config, TriplesSource | HubSource) and config.mine)

    def beir(self, name: str) -> BeirDataset:
        """A data set with a corpus, as reading needs.

        Raises:
            DataError: it is of another format, missing or malformed.
        """
        if name not in self._beir:
            config = self.config(name)
            if not isinstance(config, BeirSource):
                raise DataError(
                    f"the data set {name} has the format {config.format}; expected beir, with "
                    "answers and contexts, to learn to read from"
                )
            if not self._folder.is_dir():
                raise DataError(f"no data folder at {self._folder}: expected {name} inside it")
            self._beir[name] = load_beir(self._folder / (config.path or name), config.split)
        return self._beir[name]

    def groups(self, name: str) -> TrainingSet:
        """A data set's queries with their passages, as contrastive and ranking objectives need.

        Raises:
            DataError: it is of another format, missing or malformed.
            MissingExtraError: it is of the Hub and `datasets` is not installed.
        """
        if name not in self._groups:
            config = self.config(name)
            if name in self._beir or isinstance(config, BeirSource):
                self._groups[name] = beir_set(self.beir(name))
            elif isinstance(config, TriplesSource | ScoredSource) or (
                isinstance(config, HubSource) and config.holds != "labelled"
            ):
                self._groups[name] = open_rows(
                    name,
                    self._rows(config),
                    cache=self._cache,
                    columns=config.columns,
                    scored="scored" in (config.format, getattr(config, "holds", "")),
                )
            else:
                raise DataError(
                    f"the data set {name} holds labelled texts; expected queries with passages "
                    "(beir, triples or scored) to learn to embed or rank from"
                )
        return self._groups[name]

    def labelled(self, name: str) -> LabelledRows:
        """A data set's labelled texts, as classification needs.

        Raises:
            DataError: it is of another format, missing or malformed.
            MissingExtraError: it is of the Hub and `datasets` is not installed.
        """
        if name not in self._labelled:
            config = self.config(name)
            if isinstance(config, LabelledSource) or (
                isinstance(config, HubSource) and config.holds == "labelled"
            ):
                rows = self._rows(config)
            else:
                raise DataError(
                    f"the data set {name} holds no labelled texts; expected the format labelled, "
                    "or hub with holds: labelled, to learn to classify from"
                )
            self._labelled[name] = LabelledRows(rows, columns=config.columns)
        return self._labelled[name]

    def _rows(self, config: TriplesSource | ScoredSource | LabelledSource | HubSource) -> Rows:
        if isinstance(config, HubSource):
            return open_hub(config, data=self._folder, cache=self._cache)
        return JsonlRows(self._folder / config.path, cache=self._cache)
