from .answer_cache import AnswerCache
from .asking import Answer, Asking, Choose, Continue, Prompt, RankingModel, Request, Write
from .attention import Contrast, FoundHeads, InContextRanks, find_heads
from .cascade import Cascade
from .cost import Budget, Cost
from .graded import Graded
from .listwise import Listwise
from .local_model import LocalModel
from .method import Calls, Method, Scored
from .pairwise import Pairwise
from .pointwise import Pointwise
from .query_generation import QueryGeneration
from .reasoning import Reasoning
from .registry import METHODS, make, method_named
from .reranker import LLMReranker, Ranking
from .self_consistency import SelfConsistency
from .server_model import ServerModel
from .setwise import Setwise
from .tournament import Tournament

__all__ = [
    "METHODS",
    "Answer",
    "AnswerCache",
    "Asking",
    "Budget",
    "Calls",
    "Cascade",
    "Choose",
    "Continue",
    "Contrast",
    "Cost",
    "FoundHeads",
    "Graded",
    "InContextRanks",
    "LLMReranker",
    "Listwise",
    "LocalModel",
    "Method",
    "Pairwise",
    "Pointwise",
    "Prompt",
    "QueryGeneration",
    "Ranking",
    "RankingModel",
    "Reasoning",
    "Request",
    "Scored",
    "SelfConsistency",
    "ServerModel",
    "Setwise",
    "Tournament",
    "Write",
    "find_heads",
    "make",
    "method_named",
]
