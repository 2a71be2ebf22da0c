"""What every way of making a message smaller offers."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

# Called with a vector of each hosted worker `(k,)`, all of one length; returns the mean of everybody's.
MeanOf = Callable[[Mapping[int, Tensor]], Tensor]


class Compression:
    """Packs a vector of `values` numbers into bytes, and unpacks them again; a real one is a frozen dataclass of settings.

    A vector with NaN or infinity is unpacked as one, so that whoever receives it can leave it out. What is no vector of float32 is
    refused with ValueError: its bytes would be taken for other numbers.
    """

    def fitted(self, module: nn.Module) -> "Compression":
        """Return this compression for the vectors of the model at hand, if it needs to know the shapes of its weights."""
        return self

    def size(self, values: int) -> int:
        """Return how many bytes a vector of so many numbers is packed into."""
        raise NotImplementedError

    def pack(self, vector: Tensor, memory: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Return `vector`, plus what earlier packing lost, packed: uint8 `(bytes,)`; and what to hand in with the next vector.

        Under error feedback that memory begins with the residual `(values,)`: what has been given so far and not been sent.
        """
        raise NotImplementedError

    def unpack(self, packed: Tensor, values: int) -> Tensor:
        """Return the vector `(values,)` that the bytes stand for. Raises ValueError where these are not as many as `size` says."""
        raise NotImplementedError


class AddsUp(Compression):
    """A compression whose packed vectors can be added up: an all-reduce then sends nothing but them."""

    def all_reduced(
        self, vectors: Mapping[int, Tensor], memories: Mapping[int, Tensor], seed: int, mean_of: MeanOf
    ) -> tuple[Tensor, dict[int, Tensor]]:
        """Return what everybody unpacks from the mean of all workers' packed vectors, and each hosted worker's new memory.

        `vectors`, `memories`: of the workers that this process hosts; `seed`: a number that all workers know, another in each round.
        """
        raise NotImplementedError


def with_residual(vector: Tensor, memory: Tensor | None) -> Tensor:
    """Return `vector` plus what is still to be sent of those before it. Raises ValueError for what cannot be packed."""
    checked(vector)
    if memory is not None and len(memory) < len(vector):
        raise ValueError(
            f"a memory of {len(memory)} numbers is not that of a vector of {len(vector)}: hand in what packing the vector before returned"
        )
    return vector if memory is None else vector + memory[: len(vector)]


def checked(vector: Tensor, least: int = 1) -> Tensor:
    """Return a vector that can be packed. Raises ValueError, with its type and shape, for anything else."""
    if vector.dim() != 1 or vector.dtype != torch.float32 or len(vector) < least:
        raise ValueError(
            f"{str(vector.dtype).removeprefix('torch.')} numbers of shape {tuple(vector.shape)} cannot be packed: pass a vector of "
            f"float32 with {least} or more, such as tensor.float().reshape(-1)"
        )
    return vector


def received(packed: Tensor, size: int) -> Tensor:
    """Return a message of as many bytes as it should have. Raises ValueError, with both numbers, for another."""
    if packed.dtype != torch.uint8 or packed.shape != (size,):
        raise ValueError(
            f"{str(packed.dtype).removeprefix('torch.')} numbers of shape {tuple(packed.shape)} are no message of {size} bytes: was it "
            "packed in the same way, and is `values` the length of what was packed?"
        )
    return packed
