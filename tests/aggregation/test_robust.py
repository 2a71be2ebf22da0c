"""What robust rules promise: no order, no attacker of f, no overflow; and what they refuse."""

import time
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.aggregation import robust
from course_lib.aggregation.distances import squared_distances
from tests.aggregation.every_rule import RULES, given_for, normal

HOSTILE = {
    "1e30": [1e30], "-1e30": [-1e30], "the largest": [3.4e38], "both signs": [3.4e38, -3.4e38], "NaN": [np.nan],
    "infinity": [np.inf], "infinities": [np.inf, -np.inf], "all of it": [1e30, np.nan, -np.inf, 3e38, 1e15],
}  # fmt: skip

few = st.integers(-2, 2)  # ties everywhere


@pytest.mark.parametrize("name", RULES)
@given(st.data())
@settings(max_examples=30)
def test_the_order_of_the_vectors_does_not_matter(name: str, data: st.DataObject) -> None:
    f, d = data.draw(st.integers(0, 2)), data.draw(st.integers(1, 3))
    rule = RULES[name](f)
    n = rule.least + data.draw(st.integers(0, 3))
    rows = data.draw(st.lists(st.lists(few, min_size=d, max_size=d), min_size=n, max_size=n))
    order = data.draw(st.permutations(range(n)))
    x = torch.tensor(rows, dtype=torch.float32)
    given = given_for(rule, d)
    torch.testing.assert_close(rule(x[list(order)], **given), rule(x, **given), rtol=1e-5, atol=1e-5)


@pytest.fixture(params=list(RULES))
def make(request: pytest.FixtureRequest) -> Callable[[int], "robust.Rule | robust.Mixed"]:
    return RULES[request.param]


@pytest.mark.parametrize("hostile", HOSTILE)
def test_f_attackers_leave_the_result_among_the_honest(make, hostile: str) -> None:
    for f, more in ((1, 0), (1, 1), (2, 4), (3, 0)):
        _leave_it_among_the_honest(make(f), f, more, HOSTILE[hostile])


def _leave_it_among_the_honest(rule, f: int, more: int, hostile: list[float]) -> None:
    n, d = rule.least + more, 6
    if isinstance(rule, robust.FLTrust):
        n += 3
    x = torch.from_numpy(normal(f * 10 + more, n, d, mean=0.5))
    honest, given = x[f:].clone(), given_for(rule, d)
    values = torch.tensor(hostile, dtype=torch.float32)
    x[:f] = values.repeat(f * d)[: f * d].view(f, d)
    for rows in (x, x.flip(0)):
        result = rule(rows, **given)
        assert torch.isfinite(result).all()
        if isinstance(rule, robust.NormBounding):
            assert result.norm() <= rule.bound
        elif isinstance(rule, robust.CentredClipping):
            without = rule(torch.cat([honest, given["start"].repeat(f, 1)]), **given)
            assert (result - without).norm() <= 3 * rule.passes * f * rule.radius / n
        elif isinstance(rule, robust.FLTrust):
            assert result.norm() <= given["reference"].norm() * 1.0001
        elif isinstance(rule, robust.GeometricMedian):
            # Within the honest of every direction would ask for more; it is bounded by their spread.
            reach = 2 * (n - f) / (n - 2 * f) * (honest - honest.mean(0)).norm(dim=1).max()
            assert (result - honest.mean(0)).norm() <= reach
        else:
            assert (result >= honest.min(0).values - 1e-5).all() and (result <= honest.max(0).values + 1e-5).all()


@pytest.mark.parametrize("hostile", ["1e30", "NaN", "infinity"])
def test_one_attacker_moves_a_clipped_mean_by_its_bound_over_n(hostile: str) -> None:
    x = torch.zeros(10, 4)
    x[3] = torch.tensor(HOSTILE[hostile])
    moved = [robust.NormBounding(1, bound=2.0)(x), robust.CentredClipping(1, radius=2.0)(x, torch.zeros(4))]
    for result in moved:
        assert result.norm().item() == pytest.approx(0.2 if hostile == "1e30" else 0.0)


def test_a_broken_vector_counts_as_one_that_stands_at_the_centre() -> None:
    x = torch.ones(10, 4)
    x[3] = np.nan
    assert robust.NormBounding(1, bound=2.0)(x).tolist() == pytest.approx([0.9] * 4)
    assert robust.CentredClipping(1, radius=9.0)(x, torch.full((4,), 2.0)).tolist() == pytest.approx([1.1] * 4)


def test_the_mean_stands_nobody() -> None:
    x = torch.from_numpy(normal(0, 9, 3))
    x[0] = 1e30
    assert robust.TrimmedMean(0)(x).abs().max() > 1e28


def test_distances_near_one_another_keep_their_digits() -> None:
    # |x|² + |y|² - 2xy in float32 says 0 for all of these.
    x = 1000 + torch.tensor([[0.0], [0.001], [0.0025], [0.0045], [0.007]]).repeat(1, 50)
    assert robust.Krum(1).chosen(x) == [1]


def test_distances_have_double_precision_and_do_not_overflow() -> None:
    x = normal(0, 5, 3000)
    exact = ((x[:, None].astype(np.float64) - x[None]) ** 2).sum(2)
    np.testing.assert_allclose(squared_distances(torch.from_numpy(x)).numpy(), exact, rtol=1e-12)
    far = squared_distances(torch.tensor([[3e38], [-3e38], [np.nan], [np.inf]]))
    assert far[0, 1] == pytest.approx(3.6e77) and torch.isinf(far[2:]).sum() == 6 and far.diagonal().sum() == 0


@pytest.mark.parametrize(
    ("name", "least", "stands"),
    [
        ("median", [1, 3, 5], {1: 0, 2: 0, 3: 1, 10: 4, 11: 5}),
        ("trimmed mean", [1, 3, 5], {2: 0, 10: 4}),
        ("geometric median", [1, 3, 5], {2: 0, 10: 4}),
        ("Krum", [3, 5, 7], {2: 0, 3: 0, 5: 1, 10: 3, 11: 4}),
        ("multi-Krum", [3, 5, 7], {4: 0, 5: 1}),
        ("Bulyan", [3, 7, 11], {3: 0, 6: 0, 7: 1, 11: 2, 14: 2}),
        ("norm bounding", [1, 3, 5], {10: 4}),
        ("centred clipping", [1, 3, 5], {10: 4}),
        ("FLTrust", [1, 2, 3], {1: 0, 10: 9}),
        ("mixing, then Krum", [3, 5, 7], {10: 3}),
        ("mixing, then median", [1, 3, 5], {10: 4}),
    ],
)
def test_each_rule_says_how_many_attackers_it_stands_and_holds_to_it(
    name: str, least: list[int], stands: dict[int, int]
) -> None:
    for f, n in enumerate(least):
        rule = RULES[name](f)
        assert rule.least == n
        given = given_for(rule, 2)
        assert rule(torch.from_numpy(normal(f, n, 2)), **given).shape == (2,)
        if n > 1:
            with pytest.raises(ValueError, match=f"attackers={f} needs at least {n} vectors, got {n - 1}"):
                rule(torch.from_numpy(normal(f, n - 1, 2)), **given)
    assert {n: RULES[name](0).stands(n) for n in stands} == stands


def test_a_rule_in_buckets_counts_buckets() -> None:
    rule = robust.Mixed(robust.Bucketing(3), robust.Krum(2))
    assert rule.least == 19 and rule.stands(19) == 2 and rule.stands(18) == 1 and rule.attackers == 2
    x = torch.from_numpy(normal(0, 19, 5))
    x[:2] = torch.tensor([[1e30], [np.nan]])
    result = rule(x, generator=torch.Generator().manual_seed(0))
    assert result.abs().max() < 5
    assert torch.equal(result, rule(x, generator=torch.Generator().manual_seed(0)))
    assert not torch.equal(result, rule(x, generator=torch.Generator().manual_seed(1)))
    with pytest.raises(ValueError, match="Mixed with attackers=2 needs at least 19 vectors, got 18"):
        rule(x[1:], generator=torch.Generator())
    with pytest.raises(ValueError, match="needs a generator"):
        rule(x)


def test_what_a_rule_takes_beside_the_vectors_is_in_its_needs() -> None:
    buckets, mixing = robust.Bucketing(2), robust.NearestNeighbourMixing(1)
    assert robust.Krum(1).needs == () and robust.FLTrust(1).needs == ("reference",)
    assert robust.Mixed(buckets, robust.CentredClipping(1)).needs == ("generator", "start")
    assert robust.Mixed(mixing, robust.Mixed(buckets, robust.FLTrust(1))).needs == ("generator", "reference")
    assert robust.Mixed(robust.Bucketing(1), robust.Krum(1)).needs == ()
    both = robust.Mixed(mixing, robust.Mixed(buckets, robust.FLTrust(1)))
    x = torch.from_numpy(normal(3, 9, 4))
    assert both(x, generator=torch.Generator().manual_seed(0), reference=torch.ones(4)).shape == (4,)


def test_mixing_brings_the_honest_nearer_and_leaves_broken_vectors_to_the_rule() -> None:
    x = torch.from_numpy(normal(0, 12, 8))
    x[:2] = torch.tensor([[np.nan], [np.inf]])
    mixed = robust.NearestNeighbourMixing(2)(x)
    assert mixed[2:].var(0).sum() < 0.2 * x[2:].var(0).sum()
    assert torch.isnan(mixed[0]).all() and torch.isinf(mixed[1]).all()


def test_more_broken_vectors_than_attackers_are_refused(make) -> None:
    rule = make(1)
    x = torch.from_numpy(normal(0, 9, 2))
    x[2:4, 1] = np.nan
    with pytest.raises(ValueError, match="2 of 9 vectors hold NaN or infinity, but attackers=1"):
        rule(x, **given_for(rule, 2))


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda: robust.Krum(-1), "attackers=-1 must be 0 or more"),
        (lambda: robust.Krum(0)(torch.zeros(3)), r"of shape \(3,\), they must be floats \(n, d\)"),
        (lambda: robust.Krum(0)(torch.zeros(3, 2, dtype=torch.int64)), "torch.int64"),
        (lambda: robust.MultiKrum(1, keep=6)(torch.zeros(8, 2)), "keep=6 must lie between 1 and n - attackers - 2 = 5"),
        (lambda: robust.MultiKrum(1, keep=0)(torch.zeros(8, 2)), "keep=0"),
        (lambda: robust.NormBounding(0, bound=0.0), "bound=0.0 must be above 0"),
        (lambda: robust.NormBounding(0, bound=float("nan")), "bound=nan"),
        (lambda: robust.CentredClipping(0, radius=-1.0), "radius=-1.0 must be above 0"),
        (lambda: robust.CentredClipping(0, passes=0), "passes=0 must be at least 1"),
        (lambda: robust.CentredClipping(0)(torch.zeros(3, 2), torch.zeros(3)), "must be 2 finite numbers"),
        (lambda: robust.CentredClipping(0)(torch.zeros(3, 1), torch.tensor([np.nan])), "must be 1 finite numbers"),
        (lambda: robust.GeometricMedian(0, passes=0), "passes=0"),
        (lambda: robust.GeometricMedian(0, smoothing=0.0), "smoothing=0.0"),
        (lambda: robust.FLTrust(0)(torch.zeros(3, 2)), "needs reference"),
        (lambda: robust.FLTrust(0)(torch.zeros(3, 2), torch.zeros(3)), "needs reference"),
        (lambda: robust.FLTrust(0)(torch.zeros(3, 2), torch.tensor([1.0, np.inf])), "needs reference"),
        (lambda: robust.Bucketing(0), "size=0 must be at least 1"),
        (lambda: robust.Mixed(robust.NearestNeighbourMixing(2), robust.Krum(1)), "attackers=2 and the rule on 1"),
        (lambda: robust.client_momentum(torch.ones(2), None, 1.0), "beta=1.0"),
        (lambda: robust.client_momentum(torch.ones(2), torch.ones(3), 0.5), "memory has shape"),
    ],
)
def test_what_cannot_work_is_refused_with_the_value(wrong, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        wrong()


@pytest.mark.slow
def test_a_hundred_updates_of_the_2nn_take_seconds(make, as_meant: Callable[[float], float]) -> None:
    rule = make(20)
    x = torch.randn(100, 199_210, generator=torch.Generator().manual_seed(0))
    x[:20] += 0.5
    given = given_for(rule, x.shape[1])
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # threads that wait for each other on a busy machine count as work
    try:
        started = time.process_time()
        result = rule(x, **given)
        seconds = time.process_time() - started
    finally:
        torch.set_num_threads(threads)
    assert as_meant(seconds) < 4
    assert result.shape == (199_210,) and torch.isfinite(result).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", RULES)
def test_with_d_far_above_n_the_result_is_that_of_its_columns(name: str) -> None:
    # Columns of zeros change no distance: blocks of columns must fit together again.
    rule = RULES[name](2)
    small = torch.from_numpy(normal(5, 13, 60))
    wide = torch.zeros(13, 20_000)
    places = torch.arange(60) * 333
    wide[:, places] = small
    results = []
    for x, seen in ((small, torch.arange(60)), (wide, places)):
        given = {"reference": torch.zeros(x.shape[1]).index_fill(0, seen, 1.0), "start": torch.zeros(x.shape[1])}
        results.append(rule(x, **{name: given[name] for name in rule.needs}))
    torch.testing.assert_close(results[1][places], results[0], rtol=1e-5, atol=1e-5)
    assert results[1].count_nonzero() <= 60
