"""Which rule stands which attack, on Gaussian updates of a round with 5 attackers among 25 clients."""

import pytest
import torch
from torch import Tensor

from course_lib.adversary import poisoning
from course_lib.aggregation import robust, weighted_mean
from course_lib.learning import keys
from tests.aggregation.every_rule import RULES

pytestmark = pytest.mark.slow

N, F, D = (
    25,
    5,
    50,
)  # honest updates are ones plus noise of deviation 1: their mean and their noise both are sqrt(50) long
LOUD: dict[str, poisoning.ModelPoisoning] = {
    "sign flip": poisoning.SignFlip(10.0), "model replacement": poisoning.ModelReplacement(50.0),
    "inner product": poisoning.IPM(20.0),
}  # fmt: skip
QUIET: dict[str, poisoning.ModelPoisoning] = {
    "a little": poisoning.ALIE(), "min-max": poisoning.MinMax(), "min-sum": poisoning.MinSum("unit"),
    "inner product, small": poisoning.IPM(0.5), "against Krum": poisoning.AgainstKrum(),
}  # fmt: skip
TRIED = RULES | {
    "norm bounding": lambda f: robust.NormBounding(f, bound=10.0),
    "centred clipping": lambda f: robust.CentredClipping(f, radius=5.0, passes=5),
    "buckets, then median": lambda f: robust.Mixed(robust.Bucketing(2), robust.CoordinateMedian(f)),
}


def one_round(model: poisoning.ModelPoisoning, seed: int) -> tuple[Tensor, Tensor]:
    """Return all updates that arrive `(n, d)`, attackers first, and the mean of the honest ones `(d,)`."""
    generator = keys.generator(seed, "round")
    updates = 1 + torch.randn(N, D, generator=generator)
    attack = poisoning.Attack(tuple(range(F)), model=model, omniscient=True)
    sent = attack.craft(updates[:F], poisoning.Setting(N, F, 0, generator, benign=updates[F:]))
    return torch.cat([sent, updates[F:]]), updates[F:].mean(0)


def aggregated(rule: "robust.Rule | robust.Mixed", vectors: Tensor, seed: int) -> Tensor:
    generator = keys.generator(seed, "server")
    reference = 1 + 0.3 * torch.randn(D, generator=generator)
    given = {"reference": reference, "start": torch.full((D,), 0.8), "generator": generator}
    return rule(vectors, **{name: given[name] for name in rule.needs})


@pytest.mark.parametrize("name", TRIED)
@pytest.mark.parametrize("attack", LOUD)
def test_a_loud_attack_ruins_the_mean_and_no_rule(name: str, attack: str) -> None:
    for seed in range(5):
        vectors, truth = one_round(LOUD[attack], seed)
        assert (weighted_mean(vectors, [1.0] * N) - truth).norm() > 2 * D**0.5
        result = aggregated(TRIED[name](F), vectors, seed)
        assert (result - truth).norm() < D**0.5  # no worse than one honest update alone
        assert result @ truth > 0


@pytest.mark.parametrize("name", TRIED)
@pytest.mark.parametrize("attack", QUIET)
def test_a_quiet_attack_gets_further_and_stays_within_the_spread(name: str, attack: str) -> None:
    for seed in range(5):
        vectors, truth = one_round(QUIET[attack], seed)
        result = aggregated(TRIED[name](F), vectors, seed)
        assert (result - truth).norm() < 1.25 * D**0.5
        if name != "Krum":
            assert result @ truth > 0
        elif attack == "against Krum":  # who knows the rule turns it round
            assert result @ truth < 0


def test_a_little_is_enough_to_be_taken_by_krum() -> None:
    for seed in range(5):
        vectors, _ = one_round(poisoning.ALIE(), seed)
        assert robust.Krum(F).chosen(vectors)[0] < F
        assert set(range(F)) <= set(robust.Bulyan(F).chosen(vectors))


def test_momentum_of_clients_shrinks_the_room_in_which_attackers_hide() -> None:
    generator = keys.generator(0, "momentum")
    memory: list[Tensor | None] = [None] * N
    for _ in range(30):
        for client in range(N):
            update = 1 + torch.randn(D, generator=generator)
            message, memory[client] = robust.client_momentum(update, memory[client], beta=0.9)
            memory[client] = message
    honest = torch.stack([row for row in memory if row is not None])
    crafted = poisoning.ALIE().craft(honest[:F], poisoning.Setting(N, F, 0, generator, benign=honest[F:]))
    vectors, truth = torch.cat([crafted, honest[F:]]), honest[F:].mean(0)
    with_history = (robust.Krum(F)(vectors) - truth).norm()
    vectors, truth = one_round(poisoning.ALIE(), 0)
    assert with_history < 0.35 * (robust.Krum(F)(vectors) - truth).norm()
