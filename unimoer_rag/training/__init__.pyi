from .check import check_recipe
from .extending.domain import Domain, add_domain
from .extending.extend import Addition, Extended, extend
from .gradient_means import gradient_means
from .launch import Launch
from .loop.folder import RunFolder, kept_recipe, summary
from .loop.optimizer import rate_of
from .mining.contrasts import contrasts_of
from .mining.mining_settings import Mining
from .mining.negatives import mine
from .mining.searchers import BM25Searcher, ModelSearcher, Searcher, SystemSearcher
from .mining.teachers import ModelTeacher, Teacher, score_groups
from .objectives.kinds import among
from .overrides import overridden
from .own import OwnRun, train_on_own
from .recipe import Recipe, find_recipe, recipe_names, skeleton_of
from .run import make_model, train
from .validate import Validator

__all__ = [
    "Addition",
    "BM25Searcher",
    "Domain",
    "Extended",
    "Launch",
    "Mining",
    "ModelSearcher",
    "ModelTeacher",
    "OwnRun",
    "Recipe",
    "RunFolder",
    "Searcher",
    "SystemSearcher",
    "Teacher",
    "Validator",
    "add_domain",
    "among",
    "check_recipe",
    "contrasts_of",
    "extend",
    "find_recipe",
    "gradient_means",
    "kept_recipe",
    "make_model",
    "mine",
    "overridden",
    "rate_of",
    "recipe_names",
    "score_groups",
    "skeleton_of",
    "summary",
    "train",
    "train_on_own",
]
