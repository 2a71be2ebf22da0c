"""Finding numbers in messages so that nothing is found by chance."""

from torch import Tensor

# Around 0.001 neighbouring float32 numbers are 1e-10 apart: that three in a row agree by chance does not happen. Values of
# rounding size (2 ** -31 and its small multiples) do agree, and so do the zeros and ones that models start from.
_LONG, _SMALLEST = 3, 1e-3


def stretches(vector: Tensor) -> set[tuple[float, ...]]:
    """Return every stretch of three neighbours in `vector: (d,)`, all different and none of rounding size, 0 or 1."""
    telling = (vector.abs() > _SMALLEST) & (vector != 1)
    values, told = vector.tolist(), telling.tolist()
    found = (
        tuple(values[start : start + _LONG])
        for start in range(len(values) - _LONG + 1)
        if all(told[start : start + _LONG])
    )
    return {stretch for stretch in found if len(set(stretch)) == _LONG}
