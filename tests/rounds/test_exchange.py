from hypothesis import given
from hypothesis import strategies as st

from course_lib import plans
from course_lib.rounds import preparation
from course_lib.rounds.exchange import balanced_hosts

cohorts = st.lists(st.lists(st.integers(0, 11), min_size=1, max_size=6, unique=True), min_size=1, max_size=20)
loads = st.lists(st.integers(1, 500), min_size=12, max_size=12)


@given(cohorts, loads, st.integers(1, 4))
def test_every_client_has_one_host_among_the_workers_and_no_worker_is_left_without_clients(
    in_round: list[list[int]], load: list[int], workers: int
) -> None:
    hosts = balanced_hosts(in_round, load, workers)
    assert len(hosts) == 12
    assert set(hosts) == set(range(workers))
    assert hosts == balanced_hosts(in_round, load, workers)


def test_rounds_are_shared_more_evenly_than_by_dealing_clients_in_turn() -> None:
    in_round = preparation.cohorts(plans.fedavg(rounds=60, participation=0.1), 100, seed=0)

    def busiest(hosts: list[int]) -> float:
        return sum(max(sum(hosts[k] == worker for k in cohort) for worker in (0, 1)) for cohort in in_round) / 60

    # Ten clients a round on two workers: five each is the best there is; dealt in turn, chance gives the busier one 6.2.
    in_turn = [client % 2 for client in range(100)]
    assert busiest(balanced_hosts(in_round, [40] * 100, 2)) < 5.6
    assert busiest(in_turn) > 6


def test_where_everyone_takes_part_examples_are_shared_evenly() -> None:
    load = [500, 100, 100, 100, 100, 100]
    hosts = balanced_hosts([range(6)] * 5, load, 2)
    per_worker = [sum(size for size, host in zip(load, hosts, strict=True) if host == worker) for worker in (0, 1)]
    assert per_worker == [500, 500]
