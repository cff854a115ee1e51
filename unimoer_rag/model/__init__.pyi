from .batching import FEWEST_TOKENS, Batch, count_lanes, default_token_budget, plan_batches
from .describe import describe_experts, probe_rows, routing_weights
from .device import choose_device, choose_dtype, choose_precision
from .explain import Explanation, Match, Token, explaining
from .forward import States
from .home import Home
from .io.backbone import BACKBONES, load_backbone, resolve_backbone, transformer_layers
from .io.checkpoint import CONFIG, WEIGHTS, layer_of, parameters_by_name
from .io.config import ExpertConfig, TaskConfig, spec_of
from .io.files import file_digest, local_folder
from .io.known import BackboneSpec, canonical
from .io.loading import memory_table
from .io.peft_adapters import adapter_shape, export_expert, import_expert
from .io.places import backbone_of, shipped_checkpoints
from .io.pretrained import (
    LOCAL,
    bare_model,
    check_finite,
    check_modules,
    read_config,
    read_tensors,
)
from .io.skeleton import bare_backbone
from .language import resident_language_model, with_output_layer
from .layers.experts import ExpertSpec, RoutedLinear
from .layers.packed_attention import has_kernels
from .layers.quantized import count_bytes, quantize
from .layers.scope import checkpoint_contexts
from .memory import CACHE_BYTES, MemoryPlan
from .pilots import fit_pilots
from .prefix import PrefixKey, PrefixStates, cache_name, can_keep_prefixes
from .rows import Row, RowMaker, Side
from .spec import ModelSpec
from .surgery import merge_experts
from .tasks.cross import CrossHead
from .tasks.head import (
    ClassifyingHead,
    EmbeddingHead,
    Output,
    ReadingHead,
    ScoringHead,
    tensors,
)
from .tasks.jobs import (
    Job,
    classifying,
    embedding,
    embedding_size,
    ranking,
    reading,
    scoring,
)
from .tasks.late import LateHead, LateScoring, LateState
from .tasks.registry import HEADS, heads_of
from .tasks.span import MAX_ANSWER_TOKENS, Reading, SpanHead, SpanScores, span_logits
from .tasks.state_format import StateFormat
from .tasks.state_jobs import (
    asking,
    documents_alike,
    indexing,
    keeps_states,
    late_task,
    pairing,
    pairing_states,
    ranking_states,
)
from .tasks.task import EMBED, RERANK, RERANK_CROSS, Task
from .unimoer import UniMoER, load_own
from .untrained import is_untrained, warn_if_untrained

__all__ = [
    "BACKBONES",
    "CACHE_BYTES",
    "CONFIG",
    "EMBED",
    "FEWEST_TOKENS",
    "HEADS",
    "LOCAL",
    "MAX_ANSWER_TOKENS",
    "RERANK",
    "RERANK_CROSS",
    "WEIGHTS",
    "BackboneSpec",
    "Batch",
    "ClassifyingHead",
    "CrossHead",
    "EmbeddingHead",
    "ExpertConfig",
    "ExpertSpec",
    "Explanation",
    "Home",
    "Job",
    "LateHead",
    "LateScoring",
    "LateState",
    "Match",
    "MemoryPlan",
    "ModelSpec",
    "Output",
    "PrefixKey",
    "PrefixStates",
    "Reading",
    "ReadingHead",
    "RoutedLinear",
    "Row",
    "RowMaker",
    "ScoringHead",
    "Side",
    "SpanHead",
    "SpanScores",
    "StateFormat",
    "States",
    "Task",
    "TaskConfig",
    "Token",
    "UniMoER",
    "adapter_shape",
    "asking",
    "backbone_of",
    "bare_backbone",
    "bare_model",
    "cache_name",
    "can_keep_prefixes",
    "canonical",
    "check_finite",
    "check_modules",
    "checkpoint_contexts",
    "choose_device",
    "choose_dtype",
    "choose_precision",
    "classifying",
    "count_bytes",
    "count_lanes",
    "default_token_budget",
    "describe_experts",
    "documents_alike",
    "embedding",
    "embedding_size",
    "explaining",
    "export_expert",
    "file_digest",
    "fit_pilots",
    "has_kernels",
    "heads_of",
    "import_expert",
    "indexing",
    "is_untrained",
    "keeps_states",
    "late_task",
    "layer_of",
    "load_backbone",
    "load_own",
    "local_folder",
    "memory_table",
    "merge_experts",
    "pairing",
    "pairing_states",
    "parameters_by_name",
    "plan_batches",
    "probe_rows",
    "quantize",
    "ranking",
    "ranking_states",
    "read_config",
    "read_tensors",
    "reading",
    "resident_language_model",
    "resolve_backbone",
    "routing_weights",
    "scoring",
    "shipped_checkpoints",
    "span_logits",
    "spec_of",
    "tensors",
    "transformer_layers",
    "warn_if_untrained",
    "with_output_layer",
]
