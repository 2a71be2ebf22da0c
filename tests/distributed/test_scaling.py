"""The models of time find what they are told exactly, cover it when it is blurred, and are refused where points do not determine them."""

import numpy as np
import pytest

from course_lib.distributed import scaling

SIZES = np.repeat([1e2, 1e3, 1e4, 1e5, 1e6, 1e7], 5)
WORKERS = np.repeat([1, 2, 4], 6)


def blurred(seconds: np.ndarray, seed: int, by: float = 0.1) -> np.ndarray:
    """Return times that are off by a tenth, as on a busy machine."""
    return seconds * np.exp(by * np.random.default_rng(seed).standard_normal(len(seconds)))


def test_exact_points_give_alpha_and_beta_exactly() -> None:
    found = scaling.alpha_beta(SIZES, 5e-5 + SIZES / 2e9)
    assert found.alpha.mean == pytest.approx(5e-5) and found.beta.mean == pytest.approx(2e9)
    assert found.alpha.low == pytest.approx(found.alpha.high) and found.beta.low == pytest.approx(found.beta.high)
    assert found.seconds(4e7).mean == pytest.approx(5e-5 + 0.02)


def test_exact_points_give_amdahls_law_exactly() -> None:
    law = scaling.amdahl(WORKERS, 3 * (0.2 + 0.8 / WORKERS))
    assert law.serial.mean == pytest.approx(0.2) and law.ceiling.mean == pytest.approx(5)
    assert law.speedup(1).mean == 1
    assert law.speedup(8).mean == pytest.approx(1 / (0.2 + 0.8 / 8))


def test_the_line_is_that_of_least_squares_relative_to_it() -> None:
    seconds = blurred(5e-5 + SIZES / 2e9, 3)
    line = scaling.alpha_beta(SIZES, seconds).line
    fitted = line.intercept + line.slope * SIZES
    expected = np.linalg.lstsq(np.stack([1 / fitted, SIZES / fitted], axis=1), seconds / fitted, rcond=None)[0]
    np.testing.assert_allclose([line.intercept, line.slope], expected, rtol=1e-3)
    assert len(line.draws) == 2000 and line.draws.std(axis=0).min() > 0


def test_nineteen_intervals_of_twenty_hold_the_truth() -> None:
    alpha, beta, serial, ahead = [], [], [], []
    for seed in range(100):
        found = scaling.alpha_beta(SIZES, blurred(5e-5 + SIZES / 2e9, seed))
        alpha.append(found.alpha.low < 5e-5 < found.alpha.high)
        beta.append(found.beta.low < 2e9 < found.beta.high)
        law = scaling.amdahl(WORKERS, blurred(0.2 + 0.8 / WORKERS, seed, by=0.03))
        serial.append(law.serial.low < 0.2 < law.serial.high)
        ahead.append(law.speedup(16).low < 4 < law.speedup(16).high)
    for held in (alpha, beta, serial, ahead):
        assert 0.85 < np.mean(held) < 1  # a bootstrap of few points is a little narrow


def test_the_interval_widens_beyond_the_points() -> None:
    law = scaling.amdahl(WORKERS, blurred(0.2 + 0.8 / WORKERS, 1, by=0.03))
    widths = [law.speedup(n).high - law.speedup(n).low for n in (1, 2, 4, 8, 16, 64)]
    assert widths == sorted(widths) and widths[0] == 0


def test_work_without_a_serial_part_has_no_ceiling() -> None:
    law = scaling.amdahl(WORKERS, blurred(1.0 / WORKERS, 2))
    assert law.serial.low == 0 and law.ceiling.high == float("inf")


@pytest.mark.parametrize(("sizes", "seconds", "words"), [
    (SIZES[:5], np.ones(5), "5 points at 1 different sizes do not determine a line"),
    (np.repeat([1e3, 1e6], 9), np.ones(18), "18 points at 2 different sizes"),
    (SIZES, np.ones(3), r"sizes has shape \(30,\), seconds \(3,\)"),
    (SIZES, np.zeros(30), "seconds above 0"),
    (SIZES, blurred(np.full(30, 1e-4), 5), "do not determine 1 / beta, .*: measure larger messages as well"),
    (np.repeat([1e7, 2e7, 4e7], 5), blurred(np.repeat([1e7, 2e7, 4e7], 5) / 2e9, 0), "do not determine alpha, .*: measure smaller"),
])  # fmt: skip
def test_points_that_do_not_determine_alpha_and_beta_are_refused(
    sizes: np.ndarray, seconds: np.ndarray, words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        scaling.alpha_beta(sizes, seconds)


@pytest.mark.parametrize(("workers", "seconds", "words"), [
    ([2] * 8, [1.0] * 8, "8 points at 1 different workers"), ([1, 2], [1.0, 0.5], "2 points at 2 different workers"),
    (WORKERS, blurred(np.ones(18), 4), "do not show that more workers are quicker"),
    (WORKERS, 1 - 0.5 / WORKERS, "do not show that more workers are quicker"), ([0.5, 1, 2] * 3, [1.0] * 9, "must be at least 1"),
])  # fmt: skip
def test_points_without_a_speed_up_are_refused(workers: list[float], seconds: list[float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        scaling.amdahl(workers, seconds)
