from .groups import RunGroup
from .index import add_corpora, scan_paths
from .output import (
    JsonFlag,
    Show,
    console,
    counting,
    errors,
    print_json,
    print_piece,
    print_text,
    progress_bar,
    quiet,
    write_text,
)
from .retrieval_options import CheckpointOption, ModeOption
from .skipping import DepthOption, IndexesOption, LimitOption, SeedOption, SplitOption, cells
from .targets import check_target, save_json

__all__ = [
    "CheckpointOption",
    "DepthOption",
    "IndexesOption",
    "JsonFlag",
    "LimitOption",
    "ModeOption",
    "RunGroup",
    "SeedOption",
    "Show",
    "SplitOption",
    "add_corpora",
    "cells",
    "check_target",
    "console",
    "counting",
    "errors",
    "print_json",
    "print_piece",
    "print_text",
    "progress_bar",
    "quiet",
    "save_json",
    "scan_paths",
    "write_text",
]
