"""Eight truth values in a byte."""

import numpy as np
import torch
from torch import Tensor


def to_bytes(flags: Tensor) -> Tensor:
    """Return truth values `(n,)` as bits: uint8 `(ceil(n / 8),)`, the first one highest."""
    return torch.from_numpy(np.packbits(flags.numpy()))


def from_bytes(packed: Tensor, count: int) -> Tensor:
    """Return the first `count` bits as truth values `(count,)`."""
    return torch.from_numpy(np.unpackbits(packed.numpy(), count=count).view(np.bool_))
