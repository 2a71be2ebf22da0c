"""Shares: any threshold of them give the secret, fewer say nothing, and what does not belong together is refused."""

from collections.abc import Callable
from fractions import Fraction
from itertools import combinations, pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from course_lib.privacy.secure_aggregation import shamir

SECRET = bytes(range(100, 132))


def source(seed: int = 0) -> Callable[[int], bytes]:
    return Random(seed).randbytes


def test_the_field_is_one() -> None:
    sympy = pytest.importorskip("sympy")  # comes with torch
    assert sympy.isprime(shamir.PRIME)
    assert sympy.prevprime(shamir.PRIME) < 2**256 < shamir.PRIME


@pytest.mark.parametrize("threshold", [1, 2, 3, 4, 5])
def test_every_set_of_at_least_threshold_shares_gives_the_secret_and_every_smaller_one_is_refused(
    threshold: int,
) -> None:
    shares = shamir.split(SECRET, [1, 2, 5, 8, 13], threshold, source())
    for size in range(6):
        for points in combinations(shares, size):
            some = {point: shares[point] for point in points}
            if size >= threshold:
                assert shamir.join(some, threshold) == SECRET
            else:
                with pytest.raises(shamir.ShareError, match=f"{size} shares where {threshold} are needed"):
                    shamir.join(some, threshold)


def test_shares_are_the_values_of_a_polynomial_of_the_right_degree() -> None:
    # Differences of order `threshold` of a polynomial of degree threshold - 1 are 0; those of one order less are not.
    shares = shamir.split(SECRET, range(1, 9), 4, source())
    row = [int.from_bytes(SECRET, "little")] + [int.from_bytes(share, "little") for share in shares.values()]
    for _ in range(3):
        row = [(after - before) % shamir.PRIME for before, after in pairwise(row)]
    assert len(set(row)) == 1 and row[0] != 0


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=6), st.integers(0, 50))
def test_lagrange_s_factors_agree_with_fractions_in_closed_form(coefficients: list[int], at: int) -> None:
    points = tuple(range(3, 3 + len(coefficients)))
    plain = sum(coefficient * at**power for power, coefficient in enumerate(reversed(coefficients)))
    assert shamir.evaluate(coefficients, at) == plain
    factors = shamir.lagrange(points, at)
    for place, point in enumerate(points):
        exact = Fraction(1)
        for other in points:
            if other != point:
                exact *= Fraction(at - other, point - other)
        assert factors[place] * exact.denominator % shamir.PRIME == exact.numerator % shamir.PRIME
    total = sum(f * shamir.evaluate(coefficients, p) for f, p in zip(factors, points, strict=True))
    assert total % shamir.PRIME == plain


def test_fewer_shares_than_the_threshold_fit_every_secret() -> None:
    # Whatever the secret is guessed to be, there is one share more that makes it so: two of three say nothing.
    shares = shamir.split(SECRET, [1, 2, 3], 3, source())
    two = {1: shares[1], 2: shares[2]}
    for guess in (bytes(32), b"\xff" * 32, Random(1).randbytes(32)):
        values = [int.from_bytes(guess, "little"), *(int.from_bytes(two[point], "little") for point in (1, 2))]
        factors = shamir.lagrange((0, 1, 2), 3)
        third = sum(value * factor for value, factor in zip(values, factors, strict=True)) % shamir.PRIME
        assert shamir.join(two | {3: third.to_bytes(33, "little")}, 3) == guess


def test_the_same_secret_is_shared_differently_each_time() -> None:
    draw = source()
    first, second = (shamir.split(SECRET, [1, 2, 3], 2, draw) for _ in range(2))
    assert all(first[point] != second[point] for point in first)
    assert len(set(first.values())) == 3 and SECRET not in [share[:32] for share in first.values()]


def test_coefficients_fill_the_field() -> None:
    # Ten thousand shares of 0 at point 1, threshold 2: the one coefficient itself. Its sixteenths are equally likely.
    draw, counts = source(), [0] * 16
    for _ in range(10_000):
        value = int.from_bytes(shamir.split(bytes(32), [1, 2], 2, draw)[1], "little")
        counts[16 * value // shamir.PRIME] += 1
    assert max(abs(count - 625) for count in counts) < 125  # five deviations of 25


@pytest.mark.parametrize("secret", [bytes(32), b"\xff" * 32])
def test_the_smallest_and_the_largest_secret_come_back(secret: bytes) -> None:
    assert shamir.join(shamir.split(secret, [3, 9, 4], 2, source()), 2) == secret


@pytest.mark.parametrize("point", [1, 2, 3, 4])
def test_a_wrong_share_among_more_than_the_threshold_is_noticed(point: int) -> None:
    shares = shamir.split(SECRET, [1, 2, 3, 4], 3, source())
    shares[point] = bytes([shares[point][0] ^ 1]) + shares[point][1:]
    with pytest.raises(shamir.ShareError, match="does not lie on the polynomial"):
        shamir.join(shares, 3)


def test_shares_of_another_secret_do_not_mix() -> None:
    mine, other = (shamir.split(bytes([k]) * 32, [1, 2, 3], 2, source(k)) for k in (1, 2))
    with pytest.raises(shamir.ShareError, match="point 3 does not lie"):
        shamir.join({1: mine[1], 2: mine[2], 3: other[3]}, 2)


def test_a_result_that_can_be_no_secret_is_refused() -> None:
    too_large = (2**256 + 5).to_bytes(33, "little")
    with pytest.raises(shamir.ShareError, match="do not belong to one secret"):
        shamir.join({1: too_large}, 1)


def test_a_share_of_a_wrong_length_is_refused() -> None:
    shares = shamir.split(SECRET, [1, 2, 3], 2, source())
    with pytest.raises(shamir.ShareError, match="point 2 has 32 bytes, not 33"):
        shamir.join(shares | {2: shares[2][:32]}, 2)


@pytest.mark.parametrize(
    ("secret", "points", "threshold", "match"),
    [
        (bytes(31), [1, 2], 2, "32 bytes, not 31"), (SECRET, [1, 1], 2, "different"), (SECRET, [0, 1], 2, "lies at 0"),
        (SECRET, [1, shamir.PRIME], 2, "different whole numbers"), (SECRET, [1, 2], 3, "threshold=3"),
        (SECRET, [1, 2], 0, "threshold=0"),
    ],
)  # fmt: skip
def test_what_cannot_be_shared_is_refused(secret: bytes, points: list[int], threshold: int, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        shamir.split(secret, points, threshold, source())
