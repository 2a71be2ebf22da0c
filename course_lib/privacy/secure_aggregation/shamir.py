"""Secrets in shares: any `threshold` of them give the secret, fewer say nothing about it.

The secret is the value at 0 of a random polynomial of degree threshold - 1 over a prime field; a share is its value elsewhere.
Source: Shamir 1979, "How to share a secret". This is arithmetic, to be read; the keys come from the `cryptography` package.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

SECRET_BYTES = 32
PRIME = 2**256 + 297  # the smallest one above every secret
SHARE_BYTES = 33


class ShareError(ValueError):
    """Shares from which no secret can be had: too few, or not of one polynomial."""


def split(secret: bytes, points: Sequence[int], threshold: int, source: Callable[[int], bytes]) -> dict[int, bytes]:
    """Return a share of 33 bytes for each point. `source(k)` returns k random bytes.

    Raises ValueError for a secret that is not 32 bytes, for points that repeat or lie outside 1 to PRIME - 1 (the secret
    itself lies at 0), and for a threshold below 1 or above the number of points.
    """
    if len(secret) != SECRET_BYTES:
        raise ValueError(f"a secret has {SECRET_BYTES} bytes, not {len(secret)}")
    if len(set(points)) != len(points) or not all(0 < point < PRIME for point in points):
        raise ValueError(f"points {list(points)} must be different whole numbers, from 1 on: the secret lies at 0")
    if not 1 <= threshold <= len(points):
        raise ValueError(f"threshold={threshold} must be 1 to {len(points)}, the number of shares")
    # 32 random bytes are as good as a uniform element: the field has only 297 more.
    drawn = [source(SECRET_BYTES) for _ in range(threshold - 1)]
    polynomial = [int.from_bytes(number, "little") for number in (*drawn, secret)]  # highest degree first
    return {point: evaluate(polynomial, point).to_bytes(SHARE_BYTES, "little") for point in points}


def evaluate(polynomial: Sequence[int], point: int) -> int:
    """Return the value at `point`; coefficients come highest degree first (Horner's rule)."""
    value = 0
    for coefficient in polynomial:
        value = (value * point + coefficient) % PRIME
    return value


def join(shares: Mapping[int, bytes], threshold: int) -> bytes:
    """Return the secret, given at least `threshold` shares by their points.

    Shares beyond the threshold are checked against the others. Raises ShareError for too few shares, for one of a wrong
    length, and for shares that do not belong together. With exactly `threshold` of them, a wrong share gives a wrong secret
    that looks like any other: whoever must know has to check shares one by one.
    """
    if len(shares) < threshold:
        raise ShareError(f"{len(shares)} shares where {threshold} are needed: they say nothing about the secret")
    if wrong := [point for point, share in shares.items() if len(share) != SHARE_BYTES]:
        raise ShareError(f"the share at point {wrong[0]} has {len(shares[wrong[0]])} bytes, not {SHARE_BYTES}")
    points = sorted(shares)
    chosen = tuple(points[:threshold])
    values = [int.from_bytes(shares[point], "little") for point in chosen]
    for point in points[threshold:]:
        if _combine(values, lagrange(chosen, point)) != int.from_bytes(shares[point], "little"):
            raise ShareError(f"the share at point {point} does not lie on the polynomial of those at {chosen}")
    secret = _combine(values, lagrange(chosen, 0))
    if secret >= 2 ** (8 * SECRET_BYTES):
        raise ShareError(f"the shares at points {chosen} do not belong to one secret")
    return secret.to_bytes(SECRET_BYTES, "little")


def _combine(values: Sequence[int], factors: Sequence[int]) -> int:
    return sum(value * factor for value, factor in zip(values, factors, strict=True)) % PRIME


@lru_cache(maxsize=256)
def lagrange(points: tuple[int, ...], at: int) -> tuple[int, ...]:
    """Return by what to multiply a polynomial's values at `points` to get its value at `at`; the same for every secret."""
    factors = []
    for point in points:
        above = below = 1
        for other in points:
            if other != point:
                above = above * (at - other) % PRIME
                below = below * (point - other) % PRIME
        factors.append(above * pow(below, -1, PRIME) % PRIME)
    return tuple(factors)
