"""Three outcomes, decided by the whole interval. Each bound, sign and word of the ruler is pinned here."""

from math import inf, nan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from course_lib import learning
from course_lib.learning.finding import Claim, Finding, Outcome, outcome
from course_lib.learning.ruler import _doubt

# One unit in the middle of each region, and the bounds themselves.
JUDGED: list[tuple[float, float, Claim, float, Outcome]] = [
    (0.001, 0.5, "better", 0.0, "holds"),
    (-0.001, 0.5, "better", 0.0, "cannot tell"),
    (0.0, 0.5, "better", 0.0, "cannot tell"),
    (-0.5, 0.0, "better", 0.0, "cannot tell"),
    (-0.5, -0.001, "better", 0.0, "does not hold here"),
    (0.011, 0.02, "better", 0.01, "holds"),
    (0.009, 0.02, "better", 0.01, "cannot tell"),
    (0.001, 0.009, "better", 0.01, "does not hold here"),
    (-0.01, 0.5, "no worse", 0.01, "holds"),
    (-0.011, 0.5, "no worse", 0.01, "cannot tell"),
    (-0.5, -0.01, "no worse", 0.01, "cannot tell"),
    (-0.5, -0.011, "no worse", 0.01, "does not hold here"),
    (-0.01, 0.01, "equal", 0.01, "holds"),
    (-0.011, 0.01, "equal", 0.01, "cannot tell"),
    (-0.01, 0.011, "equal", 0.01, "cannot tell"),
    (0.01, 0.02, "equal", 0.01, "cannot tell"),
    (0.011, 0.02, "equal", 0.01, "does not hold here"),
    (-0.02, -0.01, "equal", 0.01, "cannot tell"),
    (-0.02, -0.011, "equal", 0.01, "does not hold here"),
]


@pytest.mark.parametrize(("low", "high", "claim", "margin", "said"), JUDGED)
def test_a_claim_holds_or_fails_only_with_the_whole_interval(
    low: float, high: float, claim: Claim, margin: float, said: Outcome
) -> None:
    assert outcome(low, high, claim, margin) == said


finite = st.floats(-1, 1)


@given(finite, finite, st.sampled_from(["better", "no worse", "equal"]), st.floats(0.001, 0.5))
def test_a_wider_interval_never_tells_more(one: float, other: float, claim: Claim, margin: float) -> None:
    low, high = sorted((one, other))
    wide, narrow = outcome(low - 0.1, high + 0.1, claim, margin), outcome(low, high, claim, margin)
    assert wide in (narrow, "cannot tell")


@given(finite, finite, st.floats(0.001, 0.5))
def test_equal_is_no_worse_both_ways_round(one: float, other: float, margin: float) -> None:
    low, high = sorted((one, other))
    both = {outcome(low, high, "no worse", margin), outcome(-high, -low, "no worse", margin)}
    expected = "holds" if both == {"holds"} else "does not hold here" if "does not hold here" in both else "cannot tell"
    assert outcome(low, high, "equal", margin) == expected


A, B = [0.92, 0.93, 0.91, 0.94, 0.92], [0.90, 0.92, 0.90, 0.91, 0.91]


def test_a_comparison_is_the_paired_t_interval_of_the_first_minus_the_second() -> None:
    difference = np.subtract(A, B)
    low, high = stats.t.interval(0.95, 4, difference.mean(), stats.sem(difference))
    found = learning.compare(A, B, "better").interval
    assert found is not None
    assert (found.mean, found.low, found.high) == pytest.approx((difference.mean(), low, high))
    assert learning.compare(A, B, "better").outcome == "holds"
    assert learning.compare(B, A, "better").outcome == "does not hold here"
    assert str(learning.compare(A, B, "better")) == "+1.6 ± 1.1 points (better; 5 seeds)"
    assert str(learning.compare(B, A, "no worse")) == "-1.6 ± 1.1 points (no worse, margin 1; 5 seeds)"


def test_mappings_are_paired_by_seed_whatever_their_order() -> None:
    a = dict(enumerate(A))
    b = dict(reversed(list(enumerate(B))))
    assert learning.compare(a, b, "equal") == learning.compare(A, B, "equal")


def test_the_margin_is_one_point_unless_any_gain_counts() -> None:
    shifted = [value - 0.009 for value in A]
    assert learning.MARGIN == 0.01
    assert learning.compare(shifted, A, "no worse").outcome == "holds"
    assert learning.compare(shifted, A, "equal").outcome == "holds"
    assert learning.compare(A, shifted, "better").outcome == "holds"
    assert learning.compare(A, shifted, "better", margin=0.01).outcome == "does not hold here"
    assert "better by more than 1;" in str(learning.compare(A, shifted, "better", margin=0.01))


@pytest.mark.parametrize("broken", [nan, inf, -inf])
def test_a_run_that_broke_is_counted_and_never_averaged(broken: float) -> None:
    found = learning.compare([broken, *A[1:]], B, "better")
    assert found.outcome == "cannot tell"
    rest = learning.interval(np.subtract(A, B)[1:])
    assert found.interval == rest
    assert (
        str(found)
        == f"1 of 5 broke, the others {100 * rest.mean:+.1f} ± {100 * rest.half_width:.1f} points (better; 5 seeds)"
    )
    worse = [value - 0.02 for value in B]
    assert learning.compare([broken, *worse[1:]], A, "better").outcome == "does not hold here"
    assert learning.compare(worse, [broken, *A[1:]], "better").outcome == "cannot tell"
    assert str(learning.compare([broken] * 4 + A[4:], B, "better")) == "4 of 5 broke, too few left for an interval"
    assert learning.compare([broken] * 4 + A[4:], B, "better").outcome == "cannot tell"


def test_no_bound_lies_beyond_what_is_possible() -> None:
    found = learning.compare([1.0, 0.0, 1.0, 0.0, 1.0], [0.0, 0.0, 0.0, 0.0, 0.0], "better")
    assert found.interval is not None
    assert found.interval.high == 1.0
    assert str(found) == "+60.0 (-8.0 to 100.0) points (better; 5 seeds)"
    assert f"{learning.interval([1.0, 0.5, 0.9], within=(0, 1)):.1%}" == "80.0 (14.3 to 100.0) %"
    assert f"{learning.interval([0.5, 0.6, 0.7], within=(0, 1)):.1%}" == "60.0 ± 24.8 %"


def test_ratios_are_judged_by_their_geometric_mean() -> None:
    fast, slow = [1.0, 1.1, 0.9, 1.0, 1.0], [2.0, 2.3, 1.7, 2.1, 1.9]
    found = learning.compare_ratio(slow, fast, "better")
    assert found.interval is not None
    assert found.interval.mean == pytest.approx(stats.gmean(np.divide(slow, fast)))
    assert found.outcome == "holds"
    assert learning.compare_ratio(fast, slow, "better").outcome == "does not hold here"
    assert learning.compare_ratio(slow, fast, "better", margin=1.5).outcome == "does not hold here"
    assert learning.compare_ratio(fast, fast, "equal", margin=0.05).outcome == "holds"
    logarithms = np.log(np.divide(slow, fast))
    low, high = np.exp(stats.t.interval(0.95, 4, logarithms.mean(), stats.sem(logarithms)))
    assert str(found) == f"1.99 ({low:.2f} to {high:.2f}) times (better; 5 seeds)"
    assert str(learning.compare_ratio(slow, fast, "better", over="repeats")).endswith("(better; 5 repeats)")
    with pytest.raises(ValueError, match="a ratio needs values above 0"):
        learning.compare_ratio([0.0, 1, 1, 1, 1], fast, "better")


def test_a_share_is_judged_against_chance_by_the_exact_interval() -> None:
    bounds = stats.binomtest(18, 20).proportion_ci(0.95, method="exact")
    found = learning.compare_share(18, 20, chance=0.5)
    assert found.interval is not None
    assert (found.interval.low, found.interval.high) == pytest.approx((bounds.low, bounds.high))
    assert found.outcome == "holds"
    assert learning.compare_share(2, 20, chance=0.5).outcome == "does not hold here"
    assert learning.compare_share(12, 20, chance=0.5).outcome == "cannot tell"
    assert str(found) == "90.0 (68.3 to 98.8) % (against 50%; 20 counted)"


def test_an_exact_fact_has_no_interval() -> None:
    assert str(learning.exact(1_234_567, holds=False, unit="bytes")) == "1,234,567 bytes"
    assert learning.exact(0, holds=True).outcome == "holds"
    assert learning.exact(0, holds=False).outcome == "does not hold here"
    assert learning.exact(0, holds=True).interval is None


def noisy(effect: float, seed: int, n: int = 8) -> Finding:
    values = np.random.default_rng(seed).normal(effect, 0.01, n)
    return learning.compare(values.tolist(), [0.0] * n, "better")


def test_holm_is_the_textbook_step_down() -> None:
    for draw in range(30):
        findings = {str(k): noisy(0.006 * k, seed=10 * draw + k) for k in range(4)}
        p = {label: stats.ttest_1samp(finding.differences, 0).pvalue for label, finding in findings.items()}
        rejected, alive = set(), True
        for position, label in enumerate(sorted(p, key=p.__getitem__)):
            alive = alive and bool(p[label] < 0.05 / (4 - position))
            if alive:
                rejected.add(label)
        told = {label for label, finding in learning.holm(findings).items() if finding.outcome != "cannot tell"}
        assert told == rejected


def test_holm_keeps_the_order_and_says_what_it_did() -> None:
    corrected = learning.holm({"weak": noisy(0.001, 1), "strong": noisy(0.1, 2)})
    assert list(corrected) == ["weak", "strong"]
    assert "; 97.5% interval, Holm's correction for 2)" in str(corrected["strong"])
    assert learning.holm({"alone": noisy(0.1, 3)})["alone"] == noisy(0.1, 3)
    with pytest.raises(ValueError, match="'bytes' has no differences by seed"):
        learning.holm({"bytes": learning.exact(3, holds=True)})


def test_a_winner_beats_each_of_the_others() -> None:
    worse = [value - 0.02 for value in B]
    assert learning.winner({"b": B, "a": A, "worse": worse}) == "a"
    assert learning.winner({"b": B, "worse": worse}, smaller=True) == "worse"
    assert learning.winner({"a": A, "twin": A, "worse": worse}) == learning.CANNOT_TELL
    with pytest.raises(ValueError, match="a winner needs rivals"):
        learning.winner({"a": A})


def test_a_finding_chooses_between_two_answers_or_says_that_it_cannot() -> None:
    answers = {"holds": "yes", "fails": "no"}
    assert learning.compare(A, B, "better").choose(**answers) == "yes"
    assert learning.compare(B, A, "better").choose(**answers) == "no"
    assert learning.compare(A, A, "better").choose(**answers) == learning.CANNOT_TELL


@pytest.mark.parametrize(
    ("a", "b", "options", "message"),
    [
        (A[:4], B[:4], {"claim": "better"}, "a verdict needs at least 5 seeds, got 4"),
        (A, B[:4], {"claim": "better"}, "the two must hold the same seeds"),
        (dict(enumerate(A)), B, {"claim": "better"}, "not one of each"),
        (A, B, {"claim": "same"}, "claim='same' must be one of: better, no worse, equal"),
        (A, B, {"claim": "equal", "margin": 0.0}, "margin=0.0 must be above 0 for the claim 'equal'"),
        (A, B, {"claim": "no worse", "margin": -0.1}, "margin=-0.1 must be above 0"),
        (A, B, {"claim": "better", "level": 95}, "level=95 must lie between 0 and 1"),
    ],
)
def test_what_cannot_be_judged_is_refused(a: object, b: object, options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        learning.compare(a, b, **options)  # type: ignore[arg-type]


def test_counts_that_make_no_share_are_refused() -> None:
    with pytest.raises(ValueError, match="5 of 4 is no share"):
        learning.compare_share(5, 4, chance=0.5)
    with pytest.raises(ValueError, match=r"chance=50 must lie between 0 and 1"):
        learning.compare_share(2, 4, chance=50)


def with_p(p: float, n: int = 8, *, unit: float = 0.01) -> list[float]:
    """Differences by seed whose mean is above 0 with this two-sided p-value."""
    shape = np.linspace(-1, 1, n)
    return (unit * (shape + stats.t.isf(p / 2, n - 1) * stats.sem(shape))).tolist()


def above_zero(differences: list[float]) -> Finding:
    return learning.compare(differences, [0.0] * len(differences), "better")


def test_a_clear_gain_among_which_a_run_broke_does_not_hold() -> None:
    clear = [0.5, 0.51, 0.49, 0.5, 0.52, 0.48]
    assert learning.compare([nan, *clear], [0.0] * 7, "better").outcome == "cannot tell"
    assert learning.compare([nan, *clear], [0.0] * 6 + [1.0], "no worse").outcome == "cannot tell"
    assert learning.compare([nan, *np.negative(clear)], [0.0] * 7, "better").outcome == "does not hold here"
    both = learning.compare([nan, *np.negative(clear)], [nan, *[0.0] * 6], "better")
    assert (both.broke, both.broke_first, both.outcome) == (1, 0, "cannot tell")


def test_the_margin_of_a_ratio_is_a_share_and_not_a_logarithm() -> None:
    fast = [1.0, 2.0, 3.0, 4.0, 5.0]
    more = [1.08 * value for value in fast]  # its logarithm is 0.0770, and that of 1.079 is 0.0760
    assert learning.compare_ratio(more, fast, "equal", margin=0.079).outcome == "does not hold here"
    assert learning.compare_ratio(more, fast, "equal", margin=0.081).outcome == "holds"
    assert learning.compare_ratio(fast, more, "no worse", margin=0.079).outcome == "does not hold here"
    assert learning.compare_ratio(more, fast, "better", margin=0.079).outcome == "holds"


def test_holm_goes_on_after_a_claim_that_clearly_fails() -> None:
    fails, barely = above_zero([-value for value in with_p(1e-6)]), above_zero(with_p(0.04))
    corrected = learning.holm({"barely": barely, "fails": fails})
    assert [corrected[label].outcome for label in ("fails", "barely")] == ["does not hold here", "holds"]
    # Beside one that cannot be told it stays at the stricter level.
    two = learning.holm({"barely": barely, "less": above_zero(with_p(0.045))})
    assert [finding.outcome for finding in two.values()] == ["cannot tell"] * 2


def test_a_finding_of_which_runs_broke_comes_last() -> None:
    broken = learning.compare([nan, *with_p(1e-9)], [0.0] * 9, "better")
    corrected = learning.holm(
        {"broken": broken, "clear": above_zero(with_p(1e-6)), "next": above_zero(with_p(0.02))}
    )  # which three at once would not allow
    assert [finding.outcome for finding in corrected.values()] == ["cannot tell", "holds", "holds"]


def test_a_winner_needs_more_the_more_rivals_it_has() -> None:
    gain = with_p(0.04)
    zero = [0.0] * len(gain)
    assert learning.winner({"a": gain, "b": zero}) == "a"
    assert learning.winner({"a": gain, "b": zero, "c": zero}) == learning.CANNOT_TELL


@pytest.mark.parametrize(
    ("claim", "margin", "bound"), [("better", 0.0, 0.0), ("better", 0.01, 0.01), ("no worse", 0.01, -0.01)]
)
def test_findings_are_ordered_by_the_p_value_at_the_bound_of_their_claim(
    claim: Claim, margin: float, bound: float
) -> None:
    differences = with_p(0.03)
    found = learning.compare(differences, [0.0] * 8, claim, margin=margin)
    assert _doubt(found) == pytest.approx(stats.ttest_1samp(differences, bound).pvalue)


def test_equal_is_ordered_by_the_nearer_bound_and_a_ratio_by_its_logarithm() -> None:
    differences = with_p(0.03)
    for sign in (1, -1):
        signed = [sign * value for value in differences]
        found = learning.compare(signed, [0.0] * 8, "equal")
        assert _doubt(found) == pytest.approx(stats.ttest_1samp(signed, sign * 0.01).pvalue)
    ratio = learning.compare_ratio(np.exp(differences).tolist(), [1.0] * 8, "better", margin=0.02)
    assert _doubt(ratio) == pytest.approx(stats.ttest_1samp(differences, np.log(1.02)).pvalue)
    same, more = ([value] * 5 for value in (0.0, 0.25))
    assert (_doubt(above_zero(same)), _doubt(above_zero(more))) == (1.0, 0.0)
