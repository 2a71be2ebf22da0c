"""One bit a number, and the majority decides."""

from itertools import product

import torch

from course_lib.compression import Sign
from tests.compression.ways import there_and_back


def test_the_majority_is_the_one_that_counting_finds() -> None:
    way = Sign()
    for voters in (1, 2, 3, 4, 5):
        ballots = torch.tensor(list(product((1.0, -1.0), repeat=voters))).T  # each column is one way to vote
        cast = [there_and_back(way, own) for own in ballots]
        coins = torch.arange(ballots.shape[1]) % 2 == 0
        found = way.vote(torch.stack(cast).sum(0), coins)
        for column, (outcome, coin) in enumerate(zip(found.tolist(), coins.tolist(), strict=True)):
            ups = sum(ballot > 0 for ballot in ballots[:, column].tolist())
            downs = voters - ups
            assert outcome == (1 if ups > downs or (ups == downs and coin) else -1)


def test_only_the_direction_counts_and_the_scale_says_how_far() -> None:
    assert there_and_back(Sign(0.5), torch.tensor([1e-30, -7.0, 3e38])).tolist() == [0.5, -0.5, 0.5]


def test_one_broken_ballot_spoils_the_vote() -> None:
    ballots = [there_and_back(Sign(), torch.tensor(own)) for own in ([1.0, -1.0], [1.0, float("nan")], [1.0, 1.0])]
    assert Sign().vote(torch.stack(ballots).sum(0), torch.ones(2, dtype=torch.bool)).isnan().all()


def test_a_number_that_is_zero_goes_either_way_alike() -> None:
    torch.manual_seed(0)
    assert abs(there_and_back(Sign(), torch.zeros(10_000)).mean()) < 0.04  # four standard errors
