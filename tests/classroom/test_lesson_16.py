"""The checkers of lesson 16: right, untouched, and what each likely slip is told; the picture of a graph; and the stored study."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from course_lib import classroom, learning
from course_lib.classroom.lessons.gossiping import LAYOUTS, SEEN_BY, Stored, agreement
from course_lib.classroom.lessons.lesson_16 import q1, q2
from course_lib.classroom.verdicts import corrected
from course_lib.topology import Graph, graphs, mixing
from tests.classroom.explored import explored


def _stub(*_: Any) -> Any: ...


@pytest.mark.parametrize("exercise", [q1, q2])
def test_an_untouched_exercise_counts_as_not_attempted(exercise: Any) -> None:
    assert exercise.judge(_stub).status == "untouched"
    assert exercise.judge(...).status == "untouched"


def share(degrees: list[int]) -> float:
    left = 1.0
    for degree in degrees:
        left -= 1 / (1 + max(degree, len(degrees)))
    return left


@pytest.mark.parametrize(
    "answer",
    [share, lambda d: 1 - np.sum(1 / (1 + np.maximum(d, len(d)))), lambda d: np.float32(share(d))],
)
def test_what_a_node_keeps_may_be_computed_in_any_way(answer: Callable[..., Any]) -> None:
    assert q1.judge(answer).status == "right"


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (lambda d: 1 - share(d), "takes from its neighbours"),
        (lambda d: 1 / (1 + len(d)), "a plain mean"),
        (lambda d: 1 - sum(1 / (1 + own) for own in d), "neighbours' degrees alone"),
        (lambda d: 1 - sum(1 / (1 + min(own, len(d))) for own in d), "smaller of the two"),
        (lambda d: 1 - sum(1 / max(own, len(d)) for own in d), "counts too"),
        (lambda d: 0.5, "have [2, 4, 1] neighbours each keeps"),
        (lambda d: share(d) if d != [2, 2] else 0.5, "a third"),
        (lambda d: "a third", "is text"),
    ],
)
def test_a_wrong_share_is_told_what_it_is(answer: Callable[..., Any], told: str) -> None:
    outcome = q1.judge(answer)
    assert outcome.status == "wrong" and told in outcome.message


def push(held: list[float], targets: list[list[int]]) -> list[float]:
    got = [0.0] * len(held)
    for node, others in enumerate(targets):
        piece = held[node] / (1 + len(others))
        got[node] += piece
        for other in others:
            got[other] += piece
    return got


def by_matrix(held: list[float], targets: list[list[int]]) -> Any:
    shares = np.eye(len(held))
    for node, others in enumerate(targets):
        shares[others, node] = 1
    return shares / shares.sum(0) @ np.array(held)


@pytest.mark.parametrize("answer", [push, by_matrix, lambda h, t: tuple(push(h, t))])
def test_a_round_of_push_sum_may_be_written_in_any_way(answer: Callable[..., Any]) -> None:
    assert q2.judge(answer).status == "right"


def split_without_own(held: list[float], targets: list[list[int]]) -> list[float]:
    got = [0.0] * len(held)
    for node, others in enumerate(targets):
        for other in others:
            got[other] += held[node] / len(others)
    return got


def handed_out_whole(held: list[float], targets: list[list[int]]) -> list[float]:
    got = list(held)
    for node, others in enumerate(targets):
        for other in others:
            got[other] += held[node]
    return got


def pulled(held: list[float], targets: list[list[int]]) -> list[float]:
    heard = [[held[i] for i, own in enumerate(targets) if j in own or i == j] for j in range(len(held))]
    return [sum(own) / len(own) for own in heard]


def kept_all(held: list[float], targets: list[list[int]]) -> list[float]:
    got = list(held)
    for node, others in enumerate(targets):
        for other in others:
            got[other] += held[node] / (1 + len(others))
    return got


def in_place(held: list[float], targets: list[list[int]]) -> list[float]:
    for node, others in enumerate(targets):
        share = held[node] / (1 + len(others))
        held[node] = share
        for other in others:
            held[other] += share
    return held


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (split_without_own, "keeps a share as well"),
        (handed_out_whole, "several times over"),
        (pulled, "the **sender** splits"),
        (kept_all, "still holds all"),
        (in_place, "only just come in"),
        (lambda h, t: h, "Nothing has moved"),
        (lambda h, t: [1.0] * len(h), "everybody holds"),
        (lambda h, t: push(h, t)[:2], "one number a node"),
        (lambda h, t: 3, "list of 3 numbers"),
        (lambda h, t: push(h, t) if all(t) else h, "sends to nobody keeps all"),
    ],
)
def test_a_wrong_round_of_push_sum_is_told_what_is_wrong(answer: Callable[..., Any], told: str) -> None:
    outcome = q2.judge(answer)
    assert outcome.status == "wrong" and told in outcome.message


@pytest.mark.parametrize("exercise", [q1, q2])
def test_the_solution_that_is_shown_passes_its_own_check(exercise: Any) -> None:
    arguments = {q1: "degrees", q2: "held, targets"}[exercise]
    scope: dict[str, Any] = {}
    exec(f"def answer({arguments}):\n{exercise.code}", scope)
    assert exercise.judge(scope["answer"]).status == "right"


def test_the_picture_says_how_soon_a_graph_agrees_or_that_it_never_will() -> None:
    said = agreement(graphs.ring(16)).summary
    assert "16 links, 2 neighbours each" in said and "88 rounds to a hundredth" in said
    assert "1 to 2 neighbours" in agreement(graphs.path(16)).summary
    assert "never agree" in agreement(graphs.path(16).but(remove=[(7, 8)])).summary
    assert "less than 0.1% of it is left after 10 rounds" in agreement(graphs.complete(16)).summary


def test_the_explorers_axes_stay_put_and_its_words_follow_every_control() -> None:
    shapes = {"ring": graphs.ring(16), "path": graphs.path(16), "complete": graphs.complete(16)}
    (found,) = explored("16", agreement=agreement, shapes=shapes, np=np)
    assert set(found.controls) == {"graph", "shortcuts", "cut"} and found.unsteady() == []
    said = [found.fn(**told).summary for told in ({}, {"graph": "path"}, {"shortcuts": 3}, {"cut": 2})]
    assert len(set(said)) == 4


def test_what_the_prose_says_of_shortcuts_is_so() -> None:
    def gap(graph: Graph, *ends: int) -> float:
        return mixing.spectral_gap(mixing.metropolis(graph.but(add=[(end, end + 8) for end in ends])))

    assert all(gap(graphs.ring(16), end) < gap(graphs.ring(16)) for end in range(8))
    assert gap(graphs.ring(16), 0, 4) > 2 * gap(graphs.ring(16))
    torus = [gap(graphs.torus(16), *[0, 4, 2, 6, 1, 5, 3, 7][:count]) for count in range(9)]
    assert torus[0] == max(torus) and torus[4] < torus[3] < torus[2] < torus[1] < torus[0]
    assert gap(graphs.torus(16)) > gap(graphs.random_regular(16, 4))


@pytest.fixture(scope="module")
def study() -> Stored:
    return Stored(classroom.stored("topologies"))


SPARSE = ("random", "push-sum", "torus", "ring, often", "ring")


def over(study: Stored, part: str, a: str, b: str, margin: float = 0.0) -> str:
    return learning.compare(study.of(part, a), study.of(part, b), "better", margin=margin).outcome


def test_what_the_prose_says_of_clients_that_are_alike_is_so(study: Stored) -> None:
    server = np.mean(study.of("IID", "server"))
    for name in SPARSE:
        assert 0 < server - np.mean(study.of("IID", name)) < 0.03
        assert over(study, "IID", name, "alone", margin=0.05) == "holds"
    assert study.of("IID", "complete") == study.of("IID", "server")


def test_what_the_prose_says_of_skewed_clients_on_sparse_graphs_is_so(study: Stored) -> None:
    gaps = [np.mean(study.of("skewed", name)) for name in ("ring", "torus", "complete")]
    assert gaps == sorted(gaps)
    assert np.mean(study.of("skewed", "ring", "mean")) > np.mean(study.of("skewed", "ring")) + 0.2
    assert over(study, "skewed", "torus", "ring, often", margin=0.01) == "holds"
    for name in SPARSE:
        assert over(study, "skewed", "server", name, margin=0.05) == "holds"
        assert study.megabytes("skewed", name, "busiest") < 0.7 * study.megabytes("skewed", "server", "busiest")
        curve = study.curve("skewed", name)
        assert np.mean(curve[20]) > np.mean(curve[16]) + 0.01  # still climbing
        assert over(study, "skewed", name, "alone", margin=0.05) == "holds"
    assert study.megabytes("skewed", "torus") < study.megabytes("skewed", "ring, often")
    assert study.megabytes("skewed", "ring") == study.megabytes("skewed", "server")


def test_what_the_prose_says_of_silos_is_so(study: Stored) -> None:
    walk = ["server", "8 silos", "4 silos", "2 silos", "1 silo"]
    accuracy = [np.mean(study.of("skewed", name)) for name in walk]
    across = [study.megabytes("skewed", name, "across") for name in walk]
    assert accuracy == sorted(accuracy) and across == sorted(across, reverse=True)
    assert over(study, "skewed", "4 edges", "server", margin=0.01) == "holds"
    assert study.megabytes("skewed", "4 edges", "across") == pytest.approx(across[0] / 4, rel=0.001)
    assert over(study, "skewed", "server, often", "4 edges") == "holds"
    often = study.megabytes("skewed", "server, often", "across")
    assert often == pytest.approx(20 * study.megabytes("skewed", "4 edges", "across"), rel=0.001)
    for name in ("4 silos", "4 edges"):
        assert over(study, "lopsided silos", name, "server", margin=0.01) == "does not hold here"


def test_a_table_and_a_verdict_say_one_thing_of_each_mixture(study: Stored) -> None:
    gains, mixtures = study.gains(), study.mixtures()
    assert all(mixtures[name] == gains[name] for name in mixtures) and len(mixtures) == 10
    assert corrected(mixtures) == mixtures
    for name in ("4 silos", "4 edges"):  # little is left, and the prose claims no more than that
        left = gains[f"{name}, lopsided: better than FedAvg"]
        assert left.outcome == "cannot tell" and left.shown is not None and left.shown.high < 1.5
    for count in (1, 2, 4, 8):
        assert LAYOUTS[f"{count} silo{'s' * (count > 1)}"] == (100 / count, 16 // count if count > 1 else None)


def test_the_number_of_parties_that_see_a_clients_model_is_that_of_the_graphs() -> None:
    made = {"ring": graphs.ring(16), "ring, often": graphs.ring(16), "torus": graphs.torus(16), "complete": graphs.complete(16),
            "random": graphs.random_regular(16, 4), "push-sum": graphs.directed_exponential(16)}  # fmt: skip
    assert {name: len(graph.targets(0)) for name, graph in made.items()} | {"server": 1, "alone": 0} == SEEN_BY
