"""The processes of a run, one a device, through Hugging Face Accelerate; alone without a launcher.

Each process computes the gradients of its own draws. Before an update they are averaged, so that
every process makes the same update to the same parameters. They are averaged here, in one
transfer a step, and not by DistributedDataParallel's hooks: what learns is small, a step has
several forwards and backwards (accumulation, GradCache, gradients kept apart), and the tasks of a
step reach different parameters. None of that has to be told to a wrapper.

Under FSDP the frozen backbone, where the memory is, is sharded. What learns stays whole on every
process, so that gradients, updates and saving are the same with it and without.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor, nn

from unimoer_rag.errors import TrainingError
from unimoer_rag.extras import needs_extra
from unimoer_rag.model import UniMoER, parameters_by_name

__all__ = ["Processes"]

# Others wait for the first process while it mines and validates.
_PATIENCE = timedelta(hours=6)


class Processes:
    """This process among those of its run.

    Made before the model, it chooses the device that "auto" stands for.

    Attributes:
        rank: number of this process, from 0.
        world: how many there are.
        sharded: the backbone is sharded (`accelerate launch --use_fsdp --fsdp_version 2`).

    Raises:
        MissingExtraError: Accelerate is not installed.
        TrainingError: it was launched with what this training does not do.
    """

    def __init__(self) -> None:
        with needs_extra("accelerate", "train", "training"):
            from accelerate import (
                Accelerator,
                FullyShardedDataParallelPlugin,
                InitProcessGroupKwargs,
            )
        # Precision is the model's own: a frozen backbone in the recipe's dtype, what learns in
        # float32. Autocast would change neither for the better.
        self._accelerator = Accelerator(
            mixed_precision="no",
            cpu=not torch.cuda.is_available(),  # else it overlooks torchrun's other processes
            kwargs_handlers=[InitProcessGroupKwargs(timeout=_PATIENCE)],
        )
        kind = self._accelerator.distributed_type.value
        if kind in ("DEEPSPEED", "MEGATRON_LM", "XLA"):
            raise TrainingError(
                f"launched with {kind}: expected plain processes or FSDP (accelerate launch "
                "--multi_gpu, or --use_fsdp --fsdp_version 2)"
            )
        self.rank: int = self._accelerator.process_index
        self.world: int = self._accelerator.num_processes
        self._fsdp: Any = None  # a single process has nobody to share with
        if kind == "FSDP" and self.world > 1:
            self._fsdp = self._accelerator.state.fsdp_plugin
        if kind == "MULTI_CPU" and os.environ.get("ACCELERATE_USE_FSDP", "").lower() == "true":
            # Accelerate reads FSDP's settings on GPUs alone; torch shards on CPUs as well.
            self._fsdp = FullyShardedDataParallelPlugin()
        if self._fsdp is not None and self._fsdp.fsdp_version != 2:
            raise TrainingError(
                "launched with FSDP version 1: expected accelerate launch --use_fsdp "
                "--fsdp_version 2"
            )
        self.sharded = self._fsdp is not None

    @property
    def main(self) -> bool:
        """It is the one that writes, logs and validates."""
        return self.rank == 0

    @contextmanager
    def main_first(self) -> Iterator[None]:
        """The first process goes through the block before the others do."""
        with self._accelerator.main_process_first():
            yield

    def wait(self) -> None:
        """Until all processes are here."""
        self._accelerator.wait_for_everyone()

    def any(self, flag: bool) -> bool:
        """Whether it is so in some process."""
        if self.world == 1:
            return flag
        return bool(self.mean(torch.tensor(float(flag))).item())

    def most(self, number: int) -> int:
        """The largest of the processes' numbers."""
        if self.world == 1:
            return number
        own = torch.tensor([number], device=self._accelerator.device)
        return int(self._accelerator.gather(own).max())

    def mean(self, tensor: Tensor) -> Tensor:
        """The mean of the processes' tensors, of one shape, on the device it came from."""
        if self.world == 1:
            return tensor
        moved = tensor.to(self._accelerator.device)
        mean: Tensor = self._accelerator.reduce(moved, reduction="mean")
        return mean.to(tensor.device)

    def mean_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Average the gradients; a parameter without one in every process keeps none."""
        if self.world == 1:
            return
        found = torch.tensor([float(p.grad is not None) for p in parameters])
        touched = (self.mean(found) > 0).tolist()
        reached = [p for p, one in zip(parameters, touched, strict=True) if one]
        if not reached:
            return
        flat = [
            torch.zeros_like(p).flatten() if p.grad is None else p.grad.flatten() for p in reached
        ]
        mean = torch.split(self.mean(torch.cat(flat)), [p.numel() for p in reached])
        for parameter, part in zip(reached, mean, strict=True):
            parameter.grad = part.view_as(parameter).clone()

    @torch.no_grad()
    def same(self, parameters: Iterable[nn.Parameter]) -> None:
        """Give every process the first one's values."""
        if self.world == 1:
            return
        from accelerate.utils import broadcast

        for parameter in parameters:
            parameter.copy_(broadcast(parameter.detach().clone()))

    def place(self, model: UniMoER) -> None:
        """Put a model where this process computes, its backbone sharded where that was asked.

        A model of a single process stays where it is.
        """
        if self.world > 1:
            model.to(self._accelerator.device)
        if self._fsdp is None:
            return
        from torch.distributed.fsdp import fully_shard

        learnt = {p for name, p in parameters_by_name(model).items() if name.startswith("experts.")}
        how: dict[str, Any] = {
            "reshard_after_forward": self._fsdp.reshard_after_forward,
            "ignored_params": learnt,
        }
        if self._fsdp.cpu_offload is not None:
            how["offload_policy"] = self._fsdp.cpu_offload
        for part in (*model.layers, model.backbone):
            fully_shard(part, **how)

    def close(self) -> None:
        """Take leave of the other processes."""
        if self.world > 1:
            self._accelerator.end_training()
