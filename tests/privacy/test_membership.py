"""Membership inference against closed forms: two Gaussians, and likelihoods by hand."""

from math import log, sqrt

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.metrics import roc_auc_score, roc_curve
from torch import Tensor

from course_lib.privacy import membership
from course_lib.privacy.membership import auc, confidences, deal, lira, lira_offline, losses, roc, tpr_at

some_scores = st.lists(st.integers(-4, 4).map(float), min_size=2, max_size=30).map(torch.tensor)


def shifted(shift: float, members: int, others: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(members, generator=generator) + shift, torch.randn(others, generator=generator)


@pytest.mark.parametrize("shift", [0.0, 1.0, 2.5])
def test_of_two_gaussians_curve_and_area_are_the_closed_forms(shift: float) -> None:
    members, others = shifted(shift, 40_000, 40_000)
    curve = roc(members, others)
    assert auc(members, others).mean == pytest.approx(norm.cdf(shift / sqrt(2)), abs=0.01)
    for fpr in (0.001, 0.01, 0.1, 0.5):
        truth = norm.cdf(shift - norm.isf(fpr))
        assert tpr_at(curve, fpr) == pytest.approx(truth, abs=6 * sqrt(truth / 40_000) + 0.15 * truth * (fpr < 0.01))


@given(some_scores, some_scores)
def test_curve_and_area_are_scikit_learns_whatever_the_ties(members: Tensor, others: Tensor) -> None:
    truth = [1] * len(members) + [0] * len(others)
    scores = torch.cat([members, others]).numpy()
    fpr, tpr, _ = roc_curve(truth, scores, drop_intermediate=False)
    curve = roc(members, others)
    assert curve.fpr.tolist() == pytest.approx(fpr.tolist()) and curve.tpr.tolist() == pytest.approx(tpr.tolist())
    found = auc(members, others)
    assert found.mean == pytest.approx(roc_auc_score(truth, scores))
    assert 0 <= found.low <= found.mean <= found.high <= 1 and found.n == len(scores)


def test_the_areas_interval_holds_the_truth_as_often_as_it_says() -> None:
    truth, wide, held = norm.cdf(1 / sqrt(2)), 0.0, 0
    for seed in range(200):
        found = auc(*shifted(1.0, 40, 90, seed))
        held += not found.excludes(truth)
        wide += found.half_width / 200
    assert 180 <= held <= 198
    assert auc(*shifted(1.0, 40, 90), level=0.5).half_width < 0.5 * wide


def test_the_areas_deviation_is_delongs() -> None:
    members, others = shifted(0.7, 15, 60)
    won = (members[:, None] > others).double()
    deviation = sqrt(float(won.mean(1).var()) / 15 + float(won.mean(0).var()) / 60)
    assert auc(members, others).half_width == pytest.approx(1.959964 * deviation)


def test_the_share_found_is_that_of_a_threshold_and_not_interpolated() -> None:
    curve = roc(torch.tensor([5.0, 4.0, 1.0, 0.0]), torch.tensor([4.5, 2.0, 2.0, -1.0]))
    assert tpr_at(curve, 0.0) == 0.25 and tpr_at(curve, 0.24) == 0.25 and tpr_at(curve, 0.25) == 0.5
    assert tpr_at(curve, 0.5) == 0.5 and tpr_at(curve, 0.75) == 1.0 and tpr_at(curve, 1.0) == 1.0
    # All equal: one cannot find a member without raising every alarm.
    assert tpr_at(roc(torch.zeros(5), torch.zeros(5)), 0.99) == 0.0


def test_confidences_are_the_logit_of_the_labels_probability_even_of_a_sure_model() -> None:
    scores, y = torch.randn(50, 4, generator=torch.Generator().manual_seed(1)), torch.arange(50) % 4
    p = scores.double().softmax(1)[torch.arange(50), y]
    torch.testing.assert_close(confidences(scores, y), (p / (1 - p)).log())
    torch.testing.assert_close(losses(scores, y).double(), p.log(), rtol=1e-5, atol=1e-6)
    sure = confidences(torch.tensor([[200.0, 0.0, 0.0], [300.0, 0.0, 0.0]]), torch.tensor([0, 0]))
    assert sure.tolist() == pytest.approx([200 - log(2), 300 - log(2)])


def test_each_example_is_in_half_of_the_shadow_models() -> None:
    dealt = deal(500, 8, 3)
    assert dealt.shape == (8, 500) and dealt.dtype == torch.bool
    assert (dealt.sum(0) == 4).all()
    assert (dealt.double().mean(1) - 0.5).abs().max() < 0.1
    assert not torch.equal(dealt, deal(500, 8, 4)) and torch.equal(dealt, deal(500, 8, 3))


def test_lira_is_the_ratio_of_two_fitted_gaussians() -> None:
    shadows = torch.tensor([[5.0, 1.0], [7.0, 2.0], [1.0, 9.0], [2.0, 5.0], [6.0, 0.0]])
    inside = torch.tensor([[True, False], [True, False], [False, True], [False, True], [True, False]])
    target = torch.tensor([4.0, 3.0])
    found = lira(target, shadows, inside)
    for i, (seen, unseen) in enumerate([([5, 7, 6], [1, 2]), ([9, 5], [1, 2, 0])]):
        fits = [torch.tensor(values, dtype=torch.float64) for values in (seen, unseen)]
        by_hand = [norm.logpdf(float(target[i]), float(fit.mean()), float(fit.std())) for fit in fits]
        assert float(found[i]) == pytest.approx(by_hand[0] - by_hand[1])
        offline = (float(target[i]) - float(fits[1].mean())) / float(fits[1].std())
        assert float(lira_offline(target, shadows, inside)[i]) == pytest.approx(offline)


def test_a_fixed_variance_is_that_of_all_examples_around_their_own_means() -> None:
    shadows = torch.tensor([[0.0, 110.0], [2.0, 100.0], [4.0, 50.0], [8.0, 60.0]])
    inside = torch.tensor([[True, True], [True, True], [False, False], [False, False]])
    # Out: means 6 and 55, squares 8 and 50, one degree of freedom each.
    found = lira_offline(torch.tensor([6.0, 60.0]), shadows, inside, fixed_variance=True)
    assert found.tolist() == pytest.approx([0.0, 5 / sqrt(29)])
    # In: means 1 and 105, squares 2 and 50.
    online = lira(torch.tensor([6.0, 60.0]), shadows, inside, fixed_variance=True)
    by_hand = norm.logpdf(6, 1, sqrt(26)) - norm.logpdf(6, 6, sqrt(29))
    assert float(online[0]) == pytest.approx(by_hand)


def model_of_fits(shadows: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Confidences where examples differ in how hard they are, and a member is fitted better by 2 deviations of a model."""
    generator = torch.Generator().manual_seed(seed)
    hardness = 5 * torch.randn(4000, generator=generator)
    inside = deal(4000, shadows + 2, seed)
    fits = hardness + torch.randn(shadows + 2, 4000, generator=generator) + 2 * inside
    target, mine = fits[0], inside[0]
    inside, fits = inside[1:-1], fits[1:-1]
    return target, mine, fits, inside


@pytest.mark.parametrize("online", [True, False])
def test_lira_finds_members_that_a_loss_threshold_cannot_tell_from_easy_examples(online: bool) -> None:
    target, mine, fits, inside = model_of_fits(32)
    attack = lira if online else lira_offline
    for fixed in (True, False):
        scores = attack(target, fits, inside, fixed_variance=fixed)
        found = roc(scores[mine], scores[~mine])
        by_loss = roc(target[mine], target[~mine])
        assert tpr_at(found, 0.01) > 0.2 > 4 * tpr_at(by_loss, 0.01)
        # With many models, the best that can be done is to tell two Gaussians that lie 2 apart.
        assert auc(scores[mine], scores[~mine]).mean == pytest.approx(norm.cdf(2 / sqrt(2)), abs=0.03)
    assert auc(target[mine], target[~mine]).mean == pytest.approx(norm.cdf(2 / sqrt(2 * 26)), abs=0.03)


def test_equal_shadow_models_do_not_divide_by_nothing() -> None:
    scores = lira(torch.ones(2), torch.ones(4, 2), deal(2, 4, 0))
    assert scores.isfinite().all()
    assert (lira_offline(torch.tensor([0.0, 2.0]), torch.ones(4, 2), deal(2, 4, 0)) * torch.tensor([-1, 1]) > 0).all()


@pytest.mark.parametrize(
    "call, said",
    [
        (lambda: deal(5, 3, 0), "shadows=3"),
        (lambda: deal(5, 0, 0), "shadows=0"),
        (lambda: lira(torch.ones(3), torch.ones(4, 2), torch.ones(4, 2) > 0), r"target \(3,\), shadows \(4, 2\)"),
        (lambda: lira(torch.ones(2), torch.ones(4, 2), torch.ones(4, 2)), "inside is torch.float32"),
        (lambda: lira(torch.ones(2), torch.ones(4, 2), torch.ones(4, 2) > 0), "only 0 of 4 shadow models"),
        (lambda: lira_offline(torch.ones(2) / 0, torch.ones(4, 2), deal(2, 4, 0)), "not finite"),
        (lambda: roc(torch.zeros(0), torch.zeros(2)), "0 members and 2 others"),
        (lambda: roc(torch.tensor([float("nan")]), torch.zeros(2)), "not a number"),
        (lambda: auc(torch.zeros(1), torch.zeros(2)), "1 members and 2 others"),
        (lambda: auc(torch.zeros(2), torch.zeros(2), level=95), "level=95"),
        (lambda: tpr_at(roc(torch.zeros(2), torch.zeros(2)), -1), "fpr=-1"),
    ],
)
def test_what_is_out_of_range_is_refused_with_its_value(call, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        call()


def test_the_loss_threshold_is_perfect_on_a_model_that_knows_its_data_by_heart() -> None:
    scores = torch.tensor([[9.0, 0.0], [0.0, 9.0], [0.1, 0.0], [0.0, 0.1]])
    found = losses(scores, torch.tensor([0, 1, 1, 0]))
    assert auc(found[:2], found[2:]).mean == 1.0
    assert membership.confidences(scores, torch.tensor([0, 1, 1, 0]))[:2].tolist() == [9.0, 9.0]
