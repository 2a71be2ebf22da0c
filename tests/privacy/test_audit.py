"""The audit finds what is broken and nothing else: never above a claim that holds, nothing where there is nothing."""

from math import exp, inf, log, sqrt

import pytest
import torch
from scipy.optimize import brentq
from scipy.stats import binom, norm
from torch import Tensor, nn

from course_lib import models
from course_lib.learning.sgd import FlatModel
from course_lib.privacy import accounting, audit
from course_lib.privacy.audit import Sensitivity, clopper_pearson, lower_bound, sensitivity
from course_lib.privacy.example_level import ExampleLevel, private_gradient
from course_lib.privacy.per_example import clipped_sum
from course_lib.privacy.user_level import Adaptive, UserLevel

DELTA = 1e-5


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def gaussian_epsilon(mean: float, delta: float = DELTA) -> float:
    """The exact epsilon of two unit Gaussians `mean` apart (Balle and Wang 2018, theorem 8)."""

    def excess(epsilon: float) -> float:
        return norm.cdf(mean / 2 - epsilon / mean) - exp(epsilon) * norm.cdf(-mean / 2 - epsilon / mean) - delta

    return float(brentq(excess, 0, 200))


def scores(mean: float, runs: int, seed: int) -> tuple[Tensor, Tensor]:
    draws = torch.randn(2, runs, generator=generator(seed))
    return draws[0] + mean, draws[1]


# The exact audit: what one unit changes.


def lonely() -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Seven equal examples, and the same with one more that pulls the other way."""
    x, y = torch.ones(8, 3), torch.tensor([0] * 7 + [1])
    return (x, y), (x[:-1], y[:-1])


def linear() -> FlatModel:
    return FlatModel(models.logistic().build((3,), 2))


def test_an_examples_pull_on_the_private_gradient_is_the_declared_one() -> None:
    def release(data: tuple[Tensor, Tensor]) -> Tensor:
        return private_gradient(linear(), *data, 2.0, 0.5, 4.0, generator(1))

    found = sensitivity(release, [lonely(), lonely()[::-1]], 0.5 / 4)
    assert found.holds and found.pairs == 2
    assert found.measured == pytest.approx(0.5 / 4, rel=1e-4)


def test_an_examples_pull_on_a_private_step_of_training_is_the_declared_one() -> None:
    def release(data: tuple[Tensor, Tensor]) -> Tensor:
        # The denominator is public: it does not follow the data set by one.
        return ExampleLevel(1.0, 0.5, 1.0).train(linear(), *data, 0.1, 0, 1, (0,)) * len(data[1])

    assert sensitivity(release, [lonely()], 0.1 * 0.5).holds


def broken_paths():
    def unclipped(data):
        model = linear()
        return torch.cat([part.reshape(-1) for part in model.gradient(*data)]) * len(data[1]) / 4

    def realised(data):
        return clipped_sum(linear(), data[0], data[1], 0.5) / len(data[1]) * 8 / 4

    def clipped_mean(data):  # the batch's mean is clipped and not each example
        return unclipped(data) * min(1.0, 0.5 / float(unclipped(data).norm()))

    def half_clipped(data):  # the bias escapes
        total = clipped_sum(linear(), data[0], data[1], 0.5) / 4
        total[-2:] = unclipped(data)[-2:]
        return total

    return {"unclipped": unclipped, "realised": realised, "mean": clipped_mean, "bias": half_clipped}


@pytest.mark.parametrize("name", broken_paths())
def test_a_broken_path_is_caught(name: str) -> None:
    one_against_one = (torch.ones(2, 3), torch.tensor([0, 1])), (torch.ones(1, 3), torch.tensor([0]))
    found = sensitivity(broken_paths()[name], [lonely(), one_against_one], 0.5 / 4)
    assert not found.holds and "BEYOND" in str(found)


@pytest.mark.parametrize("adaptive", [None, Adaptive(5.0)])
@pytest.mark.parametrize("noise_by", ["server", "clients"])
def test_a_users_pull_on_a_round_is_the_declared_one(adaptive: Adaptive | None, noise_by) -> None:
    settings = UserLevel(1.0, 2.0, adaptive, noise_by)

    def release(updates: list[Tensor]) -> Tensor:
        # The absent user's share of the noise is left in, for it cancels.
        messages = [settings.client(update, 2.0, 3.0, generator(i)) for i, update in enumerate(updates)]
        if len(updates) < 4:
            messages.append(settings.client(torch.zeros(5), 2.0, 3.0, generator(3)))
            if adaptive:
                messages[-1][-1] -= 0.5
        mean, _ = settings.server(torch.stack(messages).sum(0), 3.0, {}, generator(9))
        return mean

    updates = [torch.full((5,), value) for value in (1.0, 10.0, -0.1, -100.0)]
    found = sensitivity(release, [(updates, updates[:3])], 2.0 / 3)
    assert found.holds and found.measured == pytest.approx(2 / 3, rel=1e-4)


def test_a_release_must_repeat_itself_and_there_must_be_a_pair() -> None:
    noise = generator()
    with pytest.raises(ValueError, match="two results for one data set"):
        sensitivity(lambda data: torch.randn(2, generator=noise), [(0, 1)], 1.0)
    with pytest.raises(ValueError, match="no pair"):
        sensitivity(lambda data: torch.zeros(1), [], 1.0)
    assert sensitivity(lambda data: torch.tensor([data]), [(0.0, float("nan"))], 1.0).measured == inf
    assert sensitivity(lambda data: torch.tensor([data]), [(0.0, 2.0), (0.0, 1.0)], 1.0).measured == 2
    assert "within" in str(Sensitivity(1.0, 1.0, 3)) and Sensitivity(1.0, 1.001, 3).holds is False


# The audit by chance.


@pytest.mark.parametrize("hits, trials", [(0, 20), (3, 20), (20, 20), (500, 1000)])
def test_the_bounds_on_a_share_are_exact(hits: int, trials: int) -> None:
    low, high = clopper_pearson(hits, trials, 0.025)
    assert low <= hits / trials <= high
    # At each bound, an outcome this extreme has just the stated probability.
    assert binom.sf(hits - 1, trials, low) == pytest.approx(0.025) if hits else low == 0
    assert binom.cdf(hits, trials, high) == pytest.approx(0.025) if hits < trials else high == 1


def test_it_is_never_above_what_a_gaussian_mechanism_claims_and_not_far_below() -> None:
    for mean, close in ((0.5, 0.1), (1.0, 0.25), (2.0, 0.25)):
        claim = gaussian_epsilon(mean)
        found = [lower_bound(*scores(mean, 2000, seed), DELTA, seed=seed).epsilon for seed in range(12)]
        assert max(found) <= claim
        assert sum(found) / len(found) > close * claim, (mean, claim, found)


@pytest.mark.slow
def test_at_95_per_cent_it_is_right_at_least_95_times_in_100() -> None:
    # Randomised response with a tight epsilon: the bound has no room that a Gaussian's tail would leave.
    epsilon, wrong = 1.0, 0
    for seed in range(300):
        truth = exp(epsilon) / (1 + exp(epsilon))
        draws = torch.rand(2, 400, generator=generator(seed))
        answers = (draws[0] < truth).double(), (draws[1] < 1 - truth).double()
        wrong += lower_bound(*answers, 0.0, seed=seed).epsilon > epsilon
    assert wrong <= 300 * 0.05


def test_scores_that_tell_nothing_prove_nothing_in_either_direction() -> None:
    found = [lower_bound(*scores(0.0, 1000, seed), DELTA, seed=seed).epsilon for seed in range(40)]
    assert sum(value > 0 for value in found) <= 4 and max(found) < 0.3
    assert lower_bound(torch.zeros(50), torch.zeros(50), DELTA).epsilon == 0


def test_both_directions_count() -> None:
    high, low = scores(2.0, 1000, 0)
    assert lower_bound(high, low, DELTA).above is True
    assert lower_bound(-high, -low, DELTA).above is False
    assert lower_bound(-high, -low, DELTA).epsilon > 1.5
    # A canary that is only seldom missed: runs without it are recognised now and then, and then for certain.
    seldom = torch.cat([torch.zeros(700), torch.ones(300)])
    shown = lower_bound(torch.ones(1000), seldom[torch.randperm(1000, generator=generator())], 0.0)
    hidden = lower_bound(seldom[torch.randperm(1000, generator=generator())], torch.ones(1000), 0.0)
    assert shown.epsilon > 4 and hidden.epsilon > 3


def test_the_rule_is_chosen_on_other_runs_than_it_is_judged_on(monkeypatch) -> None:
    given, choose = [], audit._best_rule

    def watched(*seen):
        given.append(seen)
        return choose(*seen)

    monkeypatch.setattr(audit, "_best_rule", watched)
    inside, outside = scores(1.0, 41, 0)
    found = lower_bound(inside, outside, DELTA)
    assert [len(part) for part in given[0][:2]] == [20, 20] and found.runs == 82 - 40
    assert given[0][0].tolist() != inside[:20].tolist()  # runs are drawn, for they may have drifted in time


def test_the_bound_is_the_logarithm_of_the_bounded_rates() -> None:
    inside, outside = torch.tensor([1.0] * 200), torch.tensor([0.0] * 200)
    found = lower_bound(inside, outside, 0.01)
    assert (found.true_positives, found.false_positives, found.runs) == (1.0, 0.0, 200)
    low, high = 0.025 ** (1 / 100), 1 - 0.025 ** (1 / 100)  # nothing missed in a hundred
    assert found.epsilon == pytest.approx(log((low - 0.01) / high))
    assert "95% confidence" in str(found) and "100.0% found, 0.0% false alarms" in str(found)
    assert lower_bound(inside, outside, 0.01, confidence=0.99).epsilon < found.epsilon


def audited(gradient_sums: Tensor, noise: float, realised: bool, rounds: int, runs: int, seed: int) -> Tensor:
    """Scores of runs of a one-weight DP-SGD: what was released in all rounds, summed. `gradient_sums`: of clipped examples."""
    draws = torch.randn(runs, rounds, generator=generator(seed)) * noise + gradient_sums.sum()
    return (draws / (len(gradient_sums) if realised else 10)).sum(1)


@pytest.mark.parametrize(
    "noise, realised, rounds, caught",
    [(3.0, False, 1, False), (0.0, False, 1, True), (3.0, True, 1, True), (3.0, False, 10, True)],
    ids=["correct", "noise off", "denominator of the realised batch", "accountant reset each round"],
)
def test_a_broken_implementation_is_above_its_claim(noise: float, realised: bool, rounds: int, caught: bool) -> None:
    claim = gaussian_epsilon(1 / 3)  # of one round with a noise multiplier of 3, everybody in it
    others = torch.ones(9)
    canary = torch.cat([others, -torch.ones(1)])  # pulls against all others
    found = lower_bound(
        audited(canary, noise, realised, rounds, 60_000, 1), audited(others, noise, realised, rounds, 60_000, 2), DELTA
    )
    assert (found.epsilon > claim) is caught, (found, claim)


@pytest.mark.slow
@pytest.mark.parametrize("broken", [False, True])
def test_the_librarys_own_training_is_audited_from_its_weights(broken: bool) -> None:
    """A canary whose direction is its own: what the weights hold of it is the score."""
    steps, noise = 4, 2.0
    settings = ExampleLevel(0.0 if broken else noise, 1.0, 0.5)
    claim = accounting.spent(noise, 0.5, steps, DELTA).epsilon
    x = torch.eye(6)[[0, 0, 0, 1, 1, 1, 5]]
    y = torch.tensor([0, 0, 0, 1, 1, 1, 0])
    model = FlatModel(nn.Linear(6, 2, bias=False))
    start = model.theta.clone()

    def score(examples: int, seed: int) -> float:
        model.theta.copy_(start)
        delta = settings.train(model, x[:examples], y[:examples], 0.1, 0, steps, (seed, examples))
        return float(delta[5] - delta[11])

    kinds = [torch.tensor([score(examples, seed) for seed in range(500)]) for examples in (7, 6)]
    found = lower_bound(kinds[0], kinds[1], DELTA)
    assert (found.epsilon > claim) is broken, (found, claim)


@pytest.mark.parametrize(
    "call, said",
    [
        (lambda: lower_bound(torch.zeros(3), torch.zeros(9), DELTA), "3 runs with and 9 without"),
        (lambda: lower_bound(torch.full((9,), float("nan")), torch.zeros(9), DELTA), "not a number"),
        (lambda: lower_bound(torch.zeros(9), torch.zeros(9), -1), "delta=-1"),
        (lambda: lower_bound(torch.zeros(9), torch.zeros(9), DELTA, confidence=95), "confidence=95"),
    ],
)
def test_what_is_out_of_range_is_refused_with_its_value(call, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        call()


def test_expected_shift_of_the_reset_accountant() -> None:
    assert gaussian_epsilon(sqrt(10) / 3) == pytest.approx(accounting.spent(3.0, 1.0, 10, DELTA).epsilon, abs=0.02)
