"""Safetensors files of others: their shapes are looked at before a tensor is read.

A header may be long, lie about its file, or describe what no memory holds; each ends in an error
that names the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from math import prod
from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import Tensor

from unimoer_rag.errors import UnimoerError

__all__ = ["Shape", "count_numbers", "load_tensors", "refuse_pointer", "tensor_shapes"]

Shape = tuple[int, ...]

_HEADER_BYTES = 16 * 2**20
_POINTER = b"version https://git-lfs"
_DTYPES = ("F64", "F32", "F16", "BF16")


@contextmanager
def _reading(path: Path, error: type[UnimoerError], remedy: str) -> Iterator[None]:
    """Name the file in whatever goes wrong."""
    try:
        yield
    except OSError as problem:
        said = problem.strerror or problem
        raise error(f"{path} cannot be read ({said}): {remedy}") from problem
    except (SafetensorError, ValueError, KeyError, RuntimeError) as problem:
        raise error(f"{path} is no safetensors file ({problem}): {remedy}") from problem
    except MemoryError as problem:
        raise error(f"{path} does not fit into memory: {remedy}") from problem


def refuse_pointer(path: Path, *, error: type[UnimoerError]) -> None:
    """Raise where a file is what Git LFS leaves in the place of one that was not fetched.

    Raises:
        UnimoerError: of the type `error`: names the command that fetches it.
    """
    with suppress(OSError), path.open("rb") as start:  # what cannot be read is told by its reader
        if start.read(len(_POINTER)) == _POINTER:
            raise error(
                f"{path} is a pointer of Git LFS and not the file itself: run git lfs pull in "
                f"{path.parent}, or download the file"
            )


def tensor_shapes(
    path: Path, *, error: type[UnimoerError], remedy: str, floats: bool = True
) -> dict[str, Shape]:
    """The shape of each tensor in a file, by name; no tensor is read.

    Args:
        path: the file.
        error: what is raised.
        remedy: ends its message.
        floats: refuse tensors of another kind than floating point of 16 bits or more.

    Raises:
        UnimoerError: of the type `error`: the file cannot be read, is no safetensors file, its
            header is longer than any, or it has tensors of another kind.
    """
    refuse_pointer(path, error=error)
    with _reading(path, error, remedy):
        with path.open("rb") as start:
            length = int.from_bytes(start.read(8), "little")
        if length > _HEADER_BYTES:
            raise ValueError(f"a header of {length:,} bytes")
        shapes = {}
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118
                part = file.get_slice(name)
                if floats and part.get_dtype() not in _DTYPES:
                    raise ValueError(f"{name} is of the dtype {part.get_dtype()}")
                shapes[name] = tuple(part.get_shape())
        return shapes


def load_tensors(path: Path, *, error: type[UnimoerError], remedy: str) -> dict[str, Tensor]:
    """Every tensor of a file, whose shapes have been looked at.

    Raises:
        UnimoerError: of the type `error`, as `tensor_shapes`.
    """
    from safetensors.torch import load_file

    with _reading(path, error, remedy):
        return load_file(path)


def count_numbers(folder: Path, *, error: type[UnimoerError], remedy: str) -> int:
    """How many numbers the safetensors files of a folder hold together."""
    files = sorted(folder.glob("*.safetensors"))
    shapes = (tensor_shapes(f, error=error, remedy=remedy, floats=False) for f in files)
    return sum(prod(shape) for found in shapes for shape in found.values())
