"""What hides a vector: one mask for each pair of clients, which cancel in the sum, and one of the client's own.

Client u sends x_u + PRG(b_u) + sum over v < u of PRG(s_uv) - sum over v > u of PRG(s_uv), modulo 2^32 (Bonawitz et al. 2017,
eprint 2017/281, figure 4, round 2). Each pair's mask is added by one of the two and subtracted by the other.
"""

import numpy as np

from course_lib.privacy.secure_aggregation import crypto
from course_lib.privacy.secure_aggregation.field import Ring
from course_lib.privacy.secure_aggregation.settings import Settings


def expand(key: bytes, size: int) -> Ring:
    """Return `size` numbers of the ring, uniform to everybody without the 32-byte key: one call of the stream cipher."""
    return np.frombuffer(crypto.stream(key, 4 * size), dtype="<u4")


def self_key(settings: Settings, seed: bytes, own: int) -> bytes:
    """Return the key of a client's own mask."""
    return crypto.derive(seed, settings.context("self mask", own))


def add(total: Ring, mask: Ring, sign: int) -> None:
    """Add a mask to `total`, in place, or subtract it; numbers wrap round."""
    (np.add if sign > 0 else np.subtract)(total, mask, out=total)


def pair_sign(own: int, other: int) -> int:
    """Return with which sign client `own` takes the mask that it shares with `other`."""
    return 1 if own > other else -1
