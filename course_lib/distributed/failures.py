"""How often to save: what saving costs, against what is lost when a machine fails in between."""

from math import expm1, inf, sqrt

from course_lib.settings import real


def _check(**given: float) -> None:
    for name, value in given.items():
        if not 0 < real(value, name) < inf:
            raise ValueError(f"{name}={value} must be a finite number of seconds above 0")


def young_interval(save: float, between_failures: float) -> float:
    """Return after how many seconds of work to save: sqrt(2 C M), first order (Young 1974, doi:10.1145/361147.361115).

    `save`: C, seconds that one save takes; `between_failures`: M, seconds from one failure to the next on average. Good where C is
    much less than M. Raises ValueError for numbers that are not above 0.
    """
    _check(save=save, between_failures=between_failures)
    return sqrt(2 * save * between_failures)


def daly_interval(save: float, between_failures: float) -> float:
    """Return the higher-order estimate of the same (Daly 2006, doi:10.1016/j.future.2004.11.016).

    It is M where saving takes more than 2 M. Raises ValueError for numbers that are not above 0.
    """
    first = young_interval(save, between_failures)
    if save >= 2 * between_failures:
        return between_failures
    ratio = save / (2 * between_failures)
    return first * (1 + sqrt(ratio) / 3 + ratio / 9) - save


def expected_seconds(work: float, interval: float, save: float, between_failures: float, restart: float = 0.0) -> float:
    """Return how long `work` seconds of work take on average, saved after each `interval` of work, with failures at random.

    Failures come at a constant rate 1 / M, in saving and in restarting as well (Daly 2006): each piece of
    `interval + save` seconds takes (e^((interval + save) / M) - 1) (M e^(restart / M)). All in seconds. Raises ValueError for
    numbers that are not above 0, but for `restart`, which may be 0. Infinite where it is more than a float can hold.
    """
    _check(work=work, interval=interval, save=save, between_failures=between_failures)
    if not 0 <= real(restart, "restart") < inf:
        raise ValueError(f"restart={restart} must be a finite number of seconds of at least 0")
    try:
        each = between_failures * (expm1(restart / between_failures) + 1) * expm1((interval + save) / between_failures)
    except OverflowError:
        return inf
    return work / interval * each
