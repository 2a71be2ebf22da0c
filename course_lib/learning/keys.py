"""Randomness by name: a generator for each (seed, purpose, ...), never a global one.

The same seed then draws the same numbers in one process, in four and under torchrun, in whatever order they are asked for.
"""

from hashlib import blake2b

import torch

from course_lib.seeds import seed

__all__ = ["generator", "key", "seed"]


def key(*parts: int | str) -> int:
    """Return a 63-bit seed that depends on every part and on their order. Raises ValueError for what `seed` refuses."""
    plain = tuple(part if isinstance(part, str) else seed(part, "part") for part in parts)
    return int.from_bytes(blake2b(repr(plain).encode(), digest_size=8).digest(), "little") >> 1


def generator(*parts: int | str) -> torch.Generator:
    """Return a fresh generator seeded by `key(*parts)`."""
    return torch.Generator().manual_seed(key(*parts))
