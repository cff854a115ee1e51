from .check import check_recipe
from .estimate import Estimate
from .extending.extend import Addition, Extended, extend
from .launch import Launch, kept_recipe
from .loop.folder import RunFolder, summary
from .mining.searchers import BM25Searcher
from .objectives.config import among
from .overrides import overridden
from .own import OwnRun, train_on_own
from .recipe import Recipe, find_recipe, recipe_names
from .run import make_model, train
from .validate import Validator

__all__ = [
    "Addition",
    "BM25Searcher",
    "Estimate",
    "Extended",
    "Launch",
    "OwnRun",
    "Recipe",
    "RunFolder",
    "Validator",
    "among",
    "check_recipe",
    "extend",
    "find_recipe",
    "kept_recipe",
    "make_model",
    "overridden",
    "recipe_names",
    "summary",
    "train",
    "train_on_own",
]
