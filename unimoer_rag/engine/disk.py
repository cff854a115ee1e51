"""States of documents in files: a folder of safetensors with a budget of bytes.

A file is named by a digest of all that its states depend on: the model's weights, the dtype, the
task with its experts, and the tokens. Another checkpoint in the same folder never meets it. Files
are written whole or not at all; one that is damaged is removed and counts as absent. The least
recently used go first, by the time of their last use; several processes may share a folder.
"""

from __future__ import annotations

import hashlib
import logging
import os
import threading
import zlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from unimoer_rag.errors import InputError
from unimoer_rag.files import write_file
from unimoer_rag.model import PrefixKey, PrefixStates, parameters_by_name

if TYPE_CHECKING:
    from unimoer_rag.model import UniMoER

__all__ = ["DiskStates", "weights_digest"]

_log = logging.getLogger(__name__)

# Of what a file means; a change makes the files of before strangers.
_FORMAT = "unimoer prefix 1"
# What is read of a frozen tensor: enough to tell backbones apart without reading them all.
_SAMPLE = 1024


class DiskStates:
    """Keeps prefixes that have run in files.

    A folder that cannot be written to, or a full disk, costs no answer: it is logged once, and
    nothing is kept.

    Args:
        folder: where the files go; made where it is missing.
        capacity: bytes of files to keep at most.
        model: whose states they are.

    Raises:
        InputError: the capacity is not above zero, or the folder cannot be made.
    """

    def __init__(self, folder: Path, capacity: int, model: UniMoER) -> None:
        if capacity < 1:
            raise InputError(f"cache_disk_bytes is {capacity}: expected bytes of files, 1 or more")
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(
                f"could not create the cache_folder {folder} ({error.strerror}): choose a folder "
                "you may write"
            ) from error
        self.folder, self.capacity = folder, capacity
        self._model = model
        self._weights = ""
        self._lock = threading.Lock()
        self._failed = False
        self._nbytes = sum(size for _, size, _ in self._files())

    def renew(self) -> None:
        """Look at the model's weights again, which have changed."""
        self._weights = ""

    def get(self, key: PrefixKey) -> PrefixStates | None:
        """The states of a prefix, on the model's device; None where no whole file holds them."""
        path = self._path(key)
        try:
            states = _read(path, str(self._model.device))
        except FileNotFoundError:
            return None
        except (SafetensorError, OSError, KeyError, ValueError) as error:
            _log.warning("removed the damaged file %s (%s)", path, error)
            path.unlink(missing_ok=True)
            return None
        with suppress(OSError):  # another process has just removed it
            os.utime(path)
        return states

    def put(self, key: PrefixKey, states: PrefixStates) -> None:
        """Write the states of a prefix, removing the least recently used files for room."""
        data = _to_bytes(states)
        if len(data) > self.capacity:
            return
        path = self._path(key)
        try:
            if path.exists():
                return
            write_file(path, data)
        except OSError as error:
            if not self._failed:
                _log.warning("could not keep states in %s (%s)", self.folder, error)
            self._failed = True
            return
        with self._lock:
            self._nbytes += len(data)
            if self._nbytes > self.capacity:
                self._make_room()

    def _make_room(self) -> None:
        # Counted afresh: others write to the folder too.
        files = sorted(self._files())
        self._nbytes = sum(size for _, size, _ in files)
        for _, size, path in files:
            if self._nbytes <= self.capacity:
                return
            path.unlink(missing_ok=True)
            self._nbytes -= size

    def _files(self) -> list[tuple[int, int, Path]]:
        """Time of last use, bytes and path of each file."""
        found = []
        for path in self.folder.glob("*.safetensors"):
            try:
                stat = path.stat()
            except FileNotFoundError:
                continue
            found.append((stat.st_mtime_ns, stat.st_size, path))
        return found

    def _path(self, key: PrefixKey) -> Path:
        if not self._weights:
            self._weights = weights_digest(self._model)
        known = (_FORMAT, self._weights, key.task, key.experts, key.strength)
        name = hashlib.sha256(repr(known).encode() + key.ids).hexdigest()
        return self.folder / f"{name}.safetensors"


def weights_digest(model: UniMoER) -> str:
    """SHA-256 that tells models apart by what decides over their states.

    Reads what was trained in full, and of the frozen backbone the beginning of every tensor beside
    the digest of the checkpoint that names it.
    """
    config: Any = model.backbone.config
    trained = {id(parameter) for parameter in parameters_by_name(model).values()}
    settings = (
        model.checkpoint_digest,
        str(model.dtype),
        model.quantization,
        config.to_json_string(),
        model.spec.router,
        model.spec.gate,
        model.spec.router_options,
        model.spec.experts,
    )
    whole = hashlib.sha256(repr(settings).encode())
    for name, parameter in model.named_parameters():
        # A prepacked weight is the same numbers in another order.
        plain = parameter.to_dense() if parameter.is_mkldnn else parameter
        flat = plain.detach().reshape(-1)
        whole.update(name.encode())
        whole.update(_raw(flat if id(parameter) in trained else flat[:_SAMPLE]))
    return whole.hexdigest()


def _raw(tensor: Tensor) -> Any:
    """A tensor's bytes."""
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()


def _checksum(tensors: Mapping[str, Tensor]) -> str:
    total = 0
    for name in sorted(tensors):
        total = zlib.crc32(_raw(tensors[name]), total)
    return str(total)


def _to_bytes(states: PrefixStates) -> bytes:
    tensors = {"hidden": states.hidden}
    for at, layers in enumerate(states.passes):
        for layer, (keys, values) in enumerate(layers):
            tensors[f"{at}.{layer}.keys"], tensors[f"{at}.{layer}.values"] = keys, values
    tensors = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
    counts = {"passes": str(len(states.passes)), "layers": str(len(states.passes[0]))}
    return save(tensors, {**counts, "crc32": _checksum(tensors)})


def _read(path: Path, device: str) -> PrefixStates:
    """The states in a file.

    Raises:
        FileNotFoundError: there is none.
        SafetensorError: it is cut off, or no safetensors file.
        KeyError: a tensor is missing.
        ValueError: its bytes are not those that were written.
    """
    with safe_open(path, framework="pt") as file:
        found = file.metadata() or {}
        tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
    if _checksum(tensors) != found["crc32"]:
        raise ValueError("its checksum differs")
    tensors = {name: tensor.to(device) for name, tensor in tensors.items()}
    passes = tuple(
        tuple(
            (tensors[f"{at}.{layer}.keys"], tensors[f"{at}.{layer}.values"])
            for layer in range(int(found["layers"]))
        )
        for at in range(int(found["passes"]))
    )
    return PrefixStates(tensors["hidden"], passes)
