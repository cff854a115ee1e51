"""Names that were exported here before the room `data` was made: imports of them still work."""

from unimoer_rag.data import BeirDataset, Question, load_beir, load_run, open_dataset, write_run

__all__ = ["BeirDataset", "Question", "load_beir", "load_run", "open_dataset", "write_run"]
