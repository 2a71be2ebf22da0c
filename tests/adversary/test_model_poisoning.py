"""What attackers send, against closed forms."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm
from torch import Tensor

from course_lib.adversary import poisoning
from course_lib.adversary.against_krum import largest_lambda
from course_lib.adversary.model_poisoning import largest_z
from course_lib.aggregation import robust

seeds = st.integers(0, 10**6)


def normal(seed: int, n: int, m: int, mean: float = 0.0) -> Tensor:
    return torch.from_numpy((np.random.default_rng(seed).normal(size=(n, m)) + mean).astype(np.float32))


def setting(n: int, f: int, benign: Tensor | None = None) -> poisoning.Setting:
    return poisoning.Setting(n, f, round=0, generator=torch.Generator().manual_seed(0), benign=benign)


def everyone(
    model: poisoning.ModelPoisoning, f: int, colludes: bool = True, omniscient: bool = False
) -> poisoning.Attack:
    return poisoning.Attack(tuple(range(f)), model=model, colludes=colludes, omniscient=omniscient)


@given(seeds, st.integers(0, 5), st.integers(1, 6))
def test_without_an_attacker_or_a_boost_updates_stay_to_the_bit(seed: int, f: int, m: int) -> None:
    honest = normal(seed, f, m)
    assert poisoning.Attack((0,)).craft(honest, setting(9, f)) is honest
    assert torch.equal(everyone(poisoning.ModelReplacement(1.0), f).craft(honest, setting(9, f)), honest)
    none = honest[:0]
    models = (poisoning.SignFlip(), poisoning.ModelReplacement(), poisoning.ALIE(), poisoning.IPM(), poisoning.MinMax(),
              poisoning.MinSum(), poisoning.AgainstKrum())  # fmt: skip
    for model in models:
        assert poisoning.Attack(model=model).craft(none, setting(9, 0)) is none


def test_signs_are_flipped_and_models_replaced() -> None:
    honest = torch.tensor([[1.0, -2.0], [3.0, 0.5]])
    assert everyone(poisoning.SignFlip(4.0), 2).craft(honest, setting(10, 2)).tolist() == [[-4, 8], [-12, -2]]
    assert everyone(poisoning.ModelReplacement(2.5), 2).craft(honest, setting(10, 2)).tolist() == [
        [2.5, -5],
        [7.5, 1.25],
    ]
    # Where the others' updates cancel, the mean of the round is what the attackers trained.
    boosted = everyone(poisoning.ModelReplacement(), 2).craft(honest, setting(10, 2))
    torch.testing.assert_close(torch.cat([boosted, torch.zeros(8, 2)]).mean(0), honest.mean(0))


@pytest.mark.parametrize(
    ("n", "f", "share"),
    [(50, 24, 24 / 26), (50, 12, 24 / 38), (20, 4, 9 / 16), (21, 4, 10 / 17), (10, 2, 4 / 8), (10, 5, 4 / 5), (11, 5, 5 / 6)],
)  # fmt: skip
def test_alies_z_follows_from_n_and_f(n: int, f: int, share: float) -> None:
    assert largest_z(n, f) == pytest.approx(norm.ppf(share), abs=1e-9)


def test_alie_alone_has_no_room_and_a_majority_no_bound() -> None:
    assert largest_z(10, 1) == 0 and largest_z(11, 1) == pytest.approx(0) and largest_z(2, 1) == 0
    for n, f in ((10, 6), (11, 6), (3, 2)):
        with pytest.raises(ValueError, match=f"f={f} of n={n} are a majority"):
            largest_z(n, f)


@given(seeds, st.integers(2, 6), st.integers(1, 5))
def test_alie_is_the_mean_less_z_deviations(seed: int, f: int, m: int) -> None:
    honest, others = normal(seed, f, m), normal(seed + 1, 20 - f, m, mean=1.0)
    z = norm.ppf(9 / (20 - f))
    for omniscient, seen in ((False, honest.numpy()), (True, others.numpy())):
        attack = everyone(poisoning.ALIE(), f, omniscient=omniscient)
        crafted = attack.craft(honest, setting(20, f, others))
        assert crafted.shape == (f, m)
        for row in crafted:
            np.testing.assert_allclose(row.numpy(), seen.mean(0) - z * seen.std(0), atol=1e-5)
    fixed = everyone(poisoning.ALIE(z=2.0), f).craft(honest, setting(20, f))[0].numpy()
    np.testing.assert_allclose(fixed, honest.numpy().mean(0) - 2 * honest.numpy().std(0), atol=1e-5)


@given(seeds, st.integers(1, 6), st.integers(1, 5), st.floats(0.1, 10))
def test_ipm_points_against_the_mean(seed: int, f: int, m: int, epsilon: float) -> None:
    honest = normal(seed, f, m, mean=0.3)
    crafted = everyone(poisoning.IPM(epsilon), f).craft(honest, setting(20, f))
    torch.testing.assert_close(crafted, (-epsilon * honest.mean(0)).repeat(f, 1), rtol=1e-4, atol=1e-6)
    assert (crafted @ honest.mean(0) < 0).all()


def test_ipm_turns_the_mean_back_beyond_n_minus_f_over_f() -> None:
    benign, honest = normal(0, 8, 5, mean=1.0), normal(1, 2, 5, mean=1.0)
    for epsilon, ahead in ((3.9, True), (4.1, False)):
        crafted = everyone(poisoning.IPM(epsilon), 2, omniscient=True).craft(honest, setting(10, 2, benign))
        assert bool(torch.cat([crafted, benign]).mean(0) @ benign.mean(0) > 0) == ahead


DIRECTIONS = {
    "deviation": lambda x: -x.std(0), "unit": lambda x: -x.mean(0) / np.linalg.norm(x.mean(0)),
    "sign": lambda x: -np.sign(x.mean(0)),
}  # fmt: skip


@given(seeds, st.integers(2, 8), st.integers(1, 5), st.sampled_from(list(DIRECTIONS)))
def test_min_max_goes_exactly_as_far_as_two_honest_updates_are_apart(seed: int, f: int, m: int, direction: str) -> None:
    honest = normal(seed, f, m, mean=0.2)
    crafted = everyone(poisoning.MinMax(direction), f).craft(honest, setting(20, f)).double().numpy()
    x = honest.double().numpy()
    widest = max(np.linalg.norm(a - b) for a in x for b in x)
    assert max(np.linalg.norm(crafted[0] - a) for a in x) == pytest.approx(widest, rel=1e-5)
    _is_ahead_along(crafted, x, direction)


@given(seeds, st.integers(2, 8), st.integers(1, 5), st.sampled_from(list(DIRECTIONS)))
def test_min_sum_adds_up_to_what_the_furthest_honest_update_does(seed: int, f: int, m: int, direction: str) -> None:
    honest = normal(seed, f, m, mean=0.2)
    crafted = everyone(poisoning.MinSum(direction), f).craft(honest, setting(20, f)).double().numpy()
    x = honest.double().numpy()
    furthest = max(sum(np.linalg.norm(a - b) ** 2 for b in x) for a in x)
    assert sum(np.linalg.norm(crafted[0] - a) ** 2 for a in x) == pytest.approx(furthest, rel=1e-5)
    _is_ahead_along(crafted, x, direction)


def _is_ahead_along(crafted: np.ndarray, x: np.ndarray, direction: str) -> None:
    assert (crafted == crafted[0]).all()
    step, way = crafted[0] - x.mean(0), DIRECTIONS[direction](x)
    gamma = step @ way / (way @ way)
    assert gamma >= 0
    np.testing.assert_allclose(step, gamma * way, atol=1e-5 * (1 + gamma))


def test_min_max_of_updates_that_are_all_alike_stays_with_them() -> None:
    honest = torch.ones(3, 4)
    for model in (poisoning.MinMax(), poisoning.MinSum(), poisoning.MinMax("sign")):
        torch.testing.assert_close(everyone(model, 3).craft(honest, setting(9, 3)), honest)


def test_who_does_not_collude_knows_only_its_own_update() -> None:
    honest, benign = normal(0, 3, 4), normal(1, 9, 4)
    alone = everyone(poisoning.IPM(0.5), 3, colludes=False)
    torch.testing.assert_close(alone.craft(honest, setting(12, 3)), -0.5 * honest)
    torch.testing.assert_close(everyone(poisoning.ALIE(), 3, colludes=False).craft(honest, setting(12, 3)), honest)
    sees_all = everyone(poisoning.IPM(1.0), 3, colludes=False, omniscient=True).craft(honest, setting(12, 3, benign))
    for row in range(3):
        others = torch.cat([benign, honest[:row], honest[row + 1 :]])
        torch.testing.assert_close(sees_all[row], -others.mean(0))


def test_what_an_attacker_may_not_see_does_not_matter() -> None:
    honest, benign = normal(0, 3, 4), normal(1, 9, 4)
    for model in (poisoning.ALIE(), poisoning.MinMax(), poisoning.IPM()):
        shown = everyone(model, 3).craft(honest, setting(12, 3, benign))
        assert torch.equal(shown, everyone(model, 3).craft(honest, setting(12, 3)))
        assert not torch.equal(shown, everyone(model, 3, omniscient=True).craft(honest, setting(12, 3, benign)))


@given(seeds, st.integers(1, 3), st.integers(3, 6), st.integers(1, 6))
def test_krum_takes_what_was_crafted_against_it_and_nothing_beyond_the_bound(
    seed: int, f: int, more: int, m: int
) -> None:
    n = 2 * f + more
    benign, honest = normal(seed, n - f, m, mean=1.0), normal(seed + 1, f, m, mean=1.0)
    crafted = everyone(poisoning.AgainstKrum(), f, omniscient=True).craft(honest, setting(n, f, benign))
    assert (crafted == crafted[0]).all()
    assert torch.equal(crafted[0].sign(), -benign.mean(0).sign()) and crafted[0].abs().unique().numel() == 1
    strength = crafted[0, 0].abs().item()
    if strength >= 1e-5:
        assert robust.Krum(f).chosen(torch.cat([crafted, benign]))[0] < f
    for beyond in (1.001, 1.5, 4.0):
        sent = torch.cat([beyond * largest_lambda(benign, f) * crafted.sign(), benign])
        assert robust.Krum(f).chosen(sent)[0] >= f


def test_the_bound_divides_by_n_minus_two_f_minus_one_of_all_clients() -> None:
    # One coordinate, benign at 0, 1, ..., 5 and f = 2, so n = 8: four neighbours each; those of 2 and of 3 are 1 + 1 + 4 + 4.
    benign = torch.arange(6.0)[:, None]
    assert largest_lambda(benign, 2) == pytest.approx((10 / 3) ** 0.5 + 5)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda: setting(3, 4), "f=4 attackers must lie between 0 and n=3"),
        (lambda: setting(5, 2, torch.zeros(2, 3)), "2 benign updates, but n=5 and f=2"),
        (lambda: poisoning.SignFlip(0.0), "scale=0.0"),
        (lambda: poisoning.ModelReplacement(-1.0), "boost=-1.0"),
        (lambda: poisoning.IPM(float("nan")), "epsilon=nan"),
        (lambda: poisoning.MinMax("std"), "direction='std' is unknown"),
        (lambda: poisoning.MinSum("up"), "direction='up' is unknown"),
        (
            lambda: everyone(poisoning.IPM(), 2).craft(torch.zeros(2, 3), setting(9, 3)),
            "2 updates of attackers, but f=3",
        ),
        (
            lambda: everyone(poisoning.IPM(), 2, omniscient=True).craft(torch.zeros(2, 3), setting(9, 2)),
            "must be shown",
        ),
        (lambda: everyone(poisoning.AgainstKrum(), 2).craft(torch.zeros(2, 3), setting(9, 2)), "must see all updates"),
        (lambda: largest_lambda(torch.zeros(4, 2), 2), "f=2 of n=6 are too many for Krum"),
    ],
)
def test_what_cannot_be_crafted_is_refused_with_the_value(wrong, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        wrong()
