"""The stops of the dial: one answer at a time, as many gradients, and the epsilon that their name says."""

from dataclasses import fields

import pytest
import torch
from torch import nn

from course_lib.plans import Plan
from course_lib.privacy.of_runs import spending
from course_lib.privacy.user_level import UserLevel
from course_lib.rounds import preparation
from course_lib.study.dial import STOPS, TASKS
from course_lib.study.dial.runs import gradients
from course_lib.study.dial.stops import ASKED, EPSILONS, FAMILIES, SILOS, Setting, attackers
from course_lib.study.dial.tasks import PARTICIPANTS

EXAMPLES = 4000
# Of each kind of privacy one epsilon: to find the noise of another takes seconds, and nothing else differs.
SOME = [stop for stop in STOPS if not stop.endswith(("_8", "_1")) or stop == "fedavg_1"]


def plan(stop: str, knob: float | None = 0.5) -> Plan:
    return STOPS[stop].plan(Setting(TASKS["images"], EXAMPLES, 0.1, 0, knob))


def turned(stop: str, against: str) -> set[str]:
    """The answers in which two plans differ."""
    one, other = plan(stop), plan(against)
    return {each.name for each in fields(Plan) if getattr(one, each.name) != getattr(other, each.name)} - {"name"}


@pytest.mark.parametrize(
    ("stop", "answers"),
    [
        ("eight_bits", {"compression"}), ("secure", {"secure_aggregation"}), ("user_3", {"privacy"}), ("example_3", {"privacy"}), ("example_off", {"privacy"}),
        ("attacked", {"attack"}), ("partial", {"fleet", "participation", "rounds"}), ("fedavg_iid", set()), ("fedavg_01", set()),
        ("gossip", set()),
    ],
)  # fmt: skip
def test_a_stop_changes_one_answer_of_fedavg(stop: str, answers: set[str]) -> None:
    assert turned(stop, "fedavg_1") == answers


def test_the_central_stops_follow_from_one_another() -> None:
    assert turned("diloco", "local_sgd") == {"strategy"}
    assert turned("local_sgd", "ddp") == {"local_steps", "rounds"}
    assert turned("defended", "attacked") == {"aggregation"}
    assert turned("fedadam_01", "fedavg_01") == {"strategy"}


@pytest.mark.slow
@pytest.mark.parametrize("stop", SOME)
def test_every_stop_computes_as_many_gradients(stop: str) -> None:
    own, made = STOPS[stop], plan(stop)
    held = [EXAMPLES // own.participants] * own.participants
    sizes = preparation.participant_sizes(made, held)
    attendance = preparation.attendance(
        made.but(exchange="server") if own.runs_on != "rounds" else made, sizes, 50_890, seed=0
    )
    total = sum(sum(each.values()) for each in gradients(made, attendance, sizes))
    # A cohort that is drawn, and answers that are lost, leave something to chance.
    assert total == pytest.approx(TASKS["images"].passes * EXAMPLES, rel=0.05)


@pytest.mark.slow
def test_a_private_stop_spends_what_its_name_says_and_no_more(epsilon: int = EPSILONS[1]) -> None:
    for stop in (f"user_{epsilon}", f"crowd_user_{epsilon}", f"example_{epsilon}"):
        made, clients = plan(stop), STOPS[stop].participants
        assert made.privacy is not None
        steps = 1 if isinstance(made.privacy, UserLevel) else 5
        taken = [dict.fromkeys(range(clients), steps)] * made.rounds
        spent = spending(made.privacy, None, False, [EXAMPLES // clients] * clients, taken, made.participation)
        assert epsilon - 0.05 < spent.epsilon(made.rounds) <= epsilon
        assert spent.delta == pytest.approx(0.1 / (clients if stop.startswith(("user", "crowd")) else EXAMPLES))


def test_a_fifth_attacks_and_the_seed_says_who() -> None:
    assert len(attackers(0)) == PARTICIPANTS // 5 and attackers(0) == attackers(0)
    assert len({attackers(seed) for seed in range(5)}) > 1
    assert plan("attacked").attack == plan("defended").attack


def test_stops_compare_with_stops_that_there_are() -> None:
    for stop in STOPS.values():
        assert stop.versus in STOPS and (stop.rate_of is None or stop.rate_of in STOPS) and stop.family in FAMILIES
        assert (stop.rate_of is None) != bool(stop.knobs) or stop.rate_of
    assert PARTICIPANTS % SILOS == 0 and (1 / ASKED).is_integer()


@pytest.mark.parametrize(
    ("task", "shape", "classes"),
    [("images", (1, 28, 28), 10), ("tabular", (16,), 2), ("text", (16,), 37), ("deep", (1, 28, 28), 10)],
)
def test_the_clock_knows_how_many_multiplications_an_example_takes(
    task: str, shape: tuple[int, ...], classes: int
) -> None:
    model, counted = TASKS[task].model.build(shape, classes, 0), 0

    def count(layer: nn.Module, given: tuple[torch.Tensor, ...], out: torch.Tensor) -> None:
        nonlocal counted
        each = layer.in_features if isinstance(layer, nn.Linear) else layer.weight[0].numel()  # type: ignore[index]
        counted += out.numel() * int(each)

    for layer in model.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            layer.register_forward_hook(count)
    model(torch.zeros(1, *shape))
    assert counted == TASKS[task].multiplications
