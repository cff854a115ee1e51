from .check import check_recipe
from .data.config import Part
from .data.searchers import BM25Searcher
from .data.sources import Sources
from .extending.extend import Addition, Extended, extend
from .launch import Launch
from .loop.folder import RunFolder, kept_recipe, summary
from .loop.optimizer import rate_of
from .objectives.config import among
from .overrides import overridden
from .own import OwnRun, train_on_own
from .recipe import Recipe, find_recipe, recipe_names
from .run import make_model, train
from .skeleton import skeleton_of
from .validate import Validator

__all__ = [
    "Addition",
    "BM25Searcher",
    "Extended",
    "Launch",
    "OwnRun",
    "Part",
    "Recipe",
    "RunFolder",
    "Sources",
    "Validator",
    "among",
    "check_recipe",
    "extend",
    "find_recipe",
    "kept_recipe",
    "make_model",
    "overridden",
    "rate_of",
    "recipe_names",
    "skeleton_of",
    "summary",
    "train",
    "train_on_own",
]
