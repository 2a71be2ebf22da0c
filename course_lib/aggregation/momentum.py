"""Momentum at the client: what it sends is a mean of its updates so far."""

from torch import Tensor


def client_momentum(update: Tensor, memory: Tensor | None, beta: float) -> tuple[Tensor, Tensor]:
    """Return the message `(d,)` and the client's new memory: (1 - beta) update + beta memory, both the same numbers.

    Source: Karimireddy et al. 2021 (arXiv 2012.10333, algorithm 2). Noise shrinks and with it the room in which attacks
    such as ALIE hide. `memory`: the last message, or None before the first, which is then the update itself. beta = 0
    changes nothing.

    Raises ValueError for beta outside [0, 1), or a memory of another length.
    """
    if not 0 <= beta < 1:
        raise ValueError(f"beta={beta} must lie in [0, 1), for example 0.9")
    if memory is None or beta == 0:
        return update, update.clone()
    if memory.shape != update.shape:
        raise ValueError(
            f"memory has shape {tuple(memory.shape)}, the update {tuple(update.shape)}: they must be the same"
        )
    message = (1 - beta) * update + beta * memory
    return message, message.clone()
