"""The sum is exact for whoever is left, and there is none where too few are."""

from collections.abc import Iterator
from itertools import combinations, product

import pytest
import torch
from torch import Tensor

from course_lib import cluster
from course_lib.privacy.secure_aggregation import STAGES, AbortedError, Quantiser, SecureSum, secure_sum
from tests.privacy.secure_aggregation.by_hand import COHORT, QUANTISER, vectors

THRESHOLD = 3
WEIGHTS = {0: 1, 1: 4, 2: 10, 3: 3, 4: 7}
DROPS = STAGES[:-1]


@pytest.fixture(scope="module", autouse=True)
def own_workers() -> Iterator[None]:
    yield
    cluster.shutdown()


def in_the_clear(given: dict[int, Tensor], clients: list[int], weights: dict[int, int]) -> Tensor:
    """The sum of whole steps, each client's rounded on its own, without any mask."""
    steps = torch.zeros(len(given[0]), dtype=torch.int64)
    for client in clients:
        value = given[client].double().clamp(-QUANTISER.bound, QUANTISER.bound) * weights[client]
        steps += (value / QUANTISER.step).round().long()
    return steps.double() * QUANTISER.step


def check(drop_after: dict[int, str]) -> None:
    """Run five clients with these dropping out: the sum is exact, or there is none."""
    given = vectors()
    sent = {
        stage: [k for k in COHORT if STAGES.index(drop_after.get(k, "unmask")) >= STAGES.index(stage)]
        for stage in STAGES
    }
    enough = all(len(sent[stage]) >= THRESHOLD for stage in STAGES[1:])
    if not enough:
        with pytest.raises(AbortedError, match="of 3 needed: the round ends without a sum"):
            secure_sum(given, QUANTISER, weights=WEIGHTS, threshold=THRESHOLD, drop_after=drop_after)
        return
    result = secure_sum(given, QUANTISER, weights=WEIGHTS, threshold=THRESHOLD, drop_after=drop_after)
    assert list(result.survivors) == sent["mask"] == sorted(result.seen)
    torch.testing.assert_close(result.total, in_the_clear(given, sent["mask"], WEIGHTS), rtol=0, atol=1e-12)
    assert result.weight == sum(WEIGHTS[client] for client in sent["mask"])


@pytest.mark.parametrize("stage", DROPS)
def test_the_sum_is_exact_for_every_set_of_clients_that_drops_out_at_a_stage_or_there_is_none(stage: str) -> None:
    for size in range(6):
        for dropped in combinations(COHORT, size):
            check(dict.fromkeys(dropped, stage))


@pytest.mark.slow
def test_the_sum_is_exact_for_every_set_of_clients_with_every_choice_of_stages() -> None:
    for choice in product(STAGES, repeat=5):
        check({client: stage for client, stage in zip(COHORT, choice, strict=True) if stage != "unmask"})


@pytest.mark.parametrize("threshold", [3, 4, 5])
def test_as_many_as_the_threshold_are_enough_and_one_fewer_is_not(threshold: int) -> None:
    may_drop = 5 - threshold
    for stage in DROPS:
        secure_sum(vectors(), QUANTISER, threshold=threshold, drop_after=dict.fromkeys(range(may_drop), stage))
        with pytest.raises(AbortedError):
            secure_sum(vectors(), QUANTISER, threshold=threshold, drop_after=dict.fromkeys(range(may_drop + 1), stage))


def test_without_a_threshold_it_is_just_above_two_thirds() -> None:
    secure_sum(vectors(), QUANTISER, drop_after={1: "mask"})
    with pytest.raises(AbortedError, match="of 4 needed"):
        secure_sum(vectors(), QUANTISER, drop_after={1: "mask", 2: "mask"})


def test_without_dropouts_secure_aggregation_is_the_plain_sum_to_the_quantisation_step() -> None:
    given = vectors(values=1000)
    result = secure_sum(given, Quantiser.finest(8.0, 5))
    plain = sum(vector.double() for vector in given.values())
    assert (result.total - plain).abs().max() <= 5 * Quantiser.finest(8.0, 5).step / 2
    assert result.clipped == 0 and result.weight == 5 and result.total.dtype == torch.float64


def test_values_on_the_grid_add_up_to_the_bit() -> None:
    given = {client: (vector * 100).round() / 64 for client, vector in vectors().items()}
    result = secure_sum(given, Quantiser(16.0, 2**11 + 1))  # steps of 1/64
    assert result.total.tolist() == torch.stack(list(given.values())).double().sum(dim=0).tolist()


def test_values_beyond_the_bound_are_cut_off_and_their_share_over_the_survivors_is_told() -> None:
    given = dict.fromkeys(COHORT, torch.tensor([0.5, 9.0, -9.0, 0.0]))
    result = secure_sum(given, Quantiser(1.0, 2**16 + 1), threshold=3, drop_after={0: "share"})
    assert result.clipped == 0.5
    torch.testing.assert_close(result.total, torch.tensor([2.0, 4.0, -4.0, 0.0], dtype=torch.float64))


def test_neither_the_order_of_clients_nor_who_they_are_matters_to_the_sum() -> None:
    given = vectors()
    first = secure_sum(given, QUANTISER, weights=WEIGHTS)
    turned = secure_sum(dict(reversed(given.items())), QUANTISER, weights=WEIGHTS)
    renamed = secure_sum(
        {1000 - 7 * client: vector for client, vector in given.items()}, QUANTISER,
        weights={1000 - 7 * client: weight for client, weight in WEIGHTS.items()},
    )  # fmt: skip
    assert torch.equal(first.total, turned.total) and torch.equal(first.total, renamed.total)


def test_a_seed_repeats_all_that_the_server_saw_and_without_one_nothing_repeats() -> None:
    def run(seed: int | None) -> SecureSum:
        return secure_sum(vectors(), QUANTISER, insecure_seed=seed)

    first, again, free, once_more = run(4), run(4), run(None), run(None)
    for client in COHORT:
        assert torch.equal(first.seen[client], again.seen[client])
        assert not torch.eq(free.seen[client], once_more.seen[client]).any()
    assert torch.equal(first.total, free.total)


def test_bytes_are_counted_by_kind_of_message() -> None:
    result = secure_sum(vectors(), QUANTISER, threshold=3, drop_after={0: "share", 1: "mask"})
    assert result.bytes == {
        "keys": 5 * 64,
        "all keys": 5 * 5 * (4 + 64),
        "shares": 5 * 5 * (4 + 158),
        "dealt shares": 5 * 5 * (4 + 158),
        "masked vector": 4 * 4 * (6 + 2),
        "survivors": 4 * 5 * (4 + 1),
        "shares to unmask": 3 * 5 * (4 + 33),
    }
    assert set(result.seconds) == {"advertise", "share", "mask", "unmask"}
    assert all(seconds > 0 for seconds in result.seconds.values())


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"weights": {0: 1}}, "weights must name each client"), ({"drop_after": {9: "mask"}}, "drop_after only such"),
        ({"drop_after": {1: "unmask"}}, "'unmask' is not one of start, advertise, share, mask"),
        ({"threshold": 2}, "threshold=2 must be above half"), ({"weights": dict.fromkeys(COHORT, 2.5)}, "largest_weight=2.5"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused(changes: dict, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        secure_sum(vectors(), QUANTISER, **changes)


@pytest.mark.parametrize("other", [torch.zeros(7), torch.zeros(6, 1)])
def test_vectors_of_different_sizes_are_refused_before_anything_is_sent(other: Tensor) -> None:
    with pytest.raises(ValueError, match=r"vectors of \[\(6,.* cannot be added"):
        secure_sum(vectors() | {2: other}, QUANTISER)


@pytest.mark.parametrize("given", [{}, {3: torch.zeros(4)}])
def test_one_client_alone_has_no_sum_to_hide_in(given: dict[int, Tensor]) -> None:
    with pytest.raises(ValueError, match="two or more"):
        secure_sum(given, QUANTISER)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [2, 4])
def test_the_sum_and_all_that_was_sent_are_the_same_between_real_processes(workers: int) -> None:
    drop_after = {1: "share", 3: "mask", 4: "advertise"}
    given = vectors(values=5000) | {5: torch.ones(5000), 6: -torch.ones(5000)}
    here = secure_sum(given, QUANTISER, threshold=4, drop_after=drop_after, insecure_seed=2)
    apart = secure_sum(given, QUANTISER, threshold=4, drop_after=drop_after, insecure_seed=2, workers=workers)
    assert torch.equal(here.total, apart.total) and here.bytes == apart.bytes
    assert all(torch.equal(here.seen[client], apart.seen[client]) for client in here.seen)
    assert (here.survivors, here.weight, here.clipped) == (apart.survivors, apart.weight, apart.clipped)
    for stage in DROPS:  # each process hears of the end, and ends
        with pytest.raises(AbortedError, match="of 4 needed"):
            secure_sum(given, QUANTISER, threshold=4, drop_after=dict.fromkeys(range(4), stage), workers=workers)
