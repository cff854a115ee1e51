"""Cross-encoding as it was published: the classification head that the backbone's folder holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from unimoer_rag.errors import InputError
from unimoer_rag.model.classification import classification_head
from unimoer_rag.model.tasks.head import Footing, ScoringHead
from unimoer_rag.model.tasks.pooling import Pooler

if TYPE_CHECKING:
    from unimoer_rag.model.published import Published
    from unimoer_rag.model.rows import Row
    from unimoer_rag.model.tasks.task import Task

__all__ = ["CrossEncoderHead"]


class CrossEncoderHead(ScoringHead):
    """The relevance logit of a pair, as a published cross-encoder computes it. Nothing to learn.

    Args:
        published: what the backbone's folder says; it is a cross-encoder's.
        causal: the backbone is a decoder.
    """

    joint = True
    as_published = True

    def __init__(self, published: Published, *, causal: bool) -> None:
        super().__init__(causal=causal)
        assert published.cross is not None
        classifier = published.cross.classifier
        self.classifier = (
            None
            if classifier is None
            else classification_head(classifier.config, classifier.tensors)
        )
        # Of what ends in a classifier it pools nothing.
        self.pooler = Pooler(published, causal=causal)

    @classmethod
    def build(cls, task: Task, on: Footing) -> CrossEncoderHead:
        """That of a task on a cross-encoder.

        Raises:
            InputError: the backbone is none.
            BackboneError: its steps do not follow each other.
        """
        published = on.published
        if published is None or published.cross is None:
            raise InputError(
                f"task {task.name!r} has the head {task.head!r}, which answers as a cross-encoder "
                "was published: expected a backbone whose folder is one; choose the head 'cross' "
                "here, which is trained"
            )
        published.dimension(on.width)  # refuses steps that do not follow each other
        return cls(published, causal=on.causal)

    def forward(self, hidden: Tensor, rows: Sequence[Row], mask: Tensor) -> list[Tensor]:
        """Each pair's logit, float32 `[]`."""
        if self.classifier is None:
            return list(self.pooler.mapped(hidden, rows, mask).squeeze(-1))
        found = self.classifier(inputs_embeds=hidden.float(), attention_mask=mask.long())
        return list(found.logits.squeeze(-1))
