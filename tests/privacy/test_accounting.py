"""Epsilon is Opacus's for the same steps, never understated where it fails, and a target or budget is never exceeded."""

from math import exp, inf, sqrt

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from course_lib.privacy import accounting
from course_lib.privacy.accounting import Ledger, Steps, noise_for, spent, spent_by, steps_within
from course_lib.privacy.guarantee import Guarantee

DELTA = 1e-5


def gaussian_delta(epsilon: float, mean: float) -> float:
    """The exact delta of a Gaussian mechanism whose two means lie `mean` deviations apart (Balle and Wang 2018, theorem 8)."""
    return norm.cdf(mean / 2 - epsilon / mean) - exp(epsilon) * norm.cdf(-mean / 2 - epsilon / mean)


@pytest.mark.parametrize("accountant", ["prv", "rdp"])
def test_nothing_is_spent_before_the_first_step_or_on_a_unit_that_is_never_drawn(accountant) -> None:
    assert spent(1.0, 0.1, 0, DELTA, accountant).epsilon == 0
    assert spent(1.0, 0.0, 100, DELTA, accountant).epsilon == 0
    assert spent_by([], DELTA, accountant).epsilon == 0
    assert Ledger().spent(DELTA, accountant) == (0.0, accountant, "")
    assert spent(0.0, 0.1, 0, DELTA, accountant).epsilon == 0


@pytest.mark.parametrize("accountant", ["prv", "rdp"])
def test_without_noise_nothing_is_promised(accountant) -> None:
    assert spent(0.0, 0.1, 1, DELTA, accountant) == (inf, accountant, "")
    assert spent_by([(1.0, 0.1, 5), (0.0, 0.1, 1)], DELTA, accountant).epsilon == inf


@pytest.mark.parametrize("noise, rounds", [(1.0, 1), (2.0, 4), (8.0, 40)])
def test_with_everyone_in_each_step_epsilon_is_that_of_one_gaussian_mechanism(noise: float, rounds: int) -> None:
    exact = sqrt(rounds) / noise  # releases add up as the squares of mean over deviation
    prv, rdp = (spent(noise, 1.0, rounds, DELTA, name).epsilon for name in ("prv", "rdp"))
    # PRV promises an upper bound that is at most 0.02 too high; RDP's is looser.
    assert gaussian_delta(prv, exact) <= DELTA <= gaussian_delta(prv - 0.021, exact)
    assert prv < rdp < 1.15 * prv


@pytest.mark.parametrize("accountant, theirs_is", [("prv", "PRVAccountant"), ("rdp", "RDPAccountant")])
def test_epsilon_is_opacus_own_for_the_same_steps(accountant, theirs_is: str) -> None:
    import opacus.accountants

    theirs = getattr(opacus.accountants, theirs_is)()
    ledger = Ledger()
    for noise, rate, steps in [(1.1, 0.05, 7), (0.9, 0.02, 5), (1.1, 0.05, 4)]:
        ledger = ledger.after(noise, rate, steps)
        for _ in range(steps):
            theirs.step(noise_multiplier=noise, sample_rate=rate)
    assert ledger.spent(DELTA, accountant).epsilon == pytest.approx(theirs.get_epsilon(DELTA), rel=1e-3)
    assert ledger.history == (
        Steps(1.1, 0.05, 11),
        Steps(0.9, 0.02, 5),
    )  # the same kind of step is composed with itself
    theirs.history = [(1.1, 0.05, 30)]
    assert spent(1.1, 0.05, 30, DELTA, accountant).epsilon == theirs.get_epsilon(DELTA)


@pytest.mark.filterwarnings("ignore:Secure RNG")
@pytest.mark.parametrize("batches", [93, 99, 100, 105, 117])
def test_epsilon_is_that_of_opacus_engine_even_where_its_loader_drops_a_step(batches: int) -> None:
    opacus = pytest.importorskip("opacus")
    from torch.utils.data import DataLoader, TensorDataset

    module = torch.nn.Linear(1, 2)
    rows = TensorDataset(torch.zeros(batches * 2, 1), torch.zeros(batches * 2, dtype=torch.long))
    engine = opacus.PrivacyEngine(accountant="rdp")
    module, optimiser, loader = engine.make_private(
        module=module, optimizer=torch.optim.SGD(module.parameters(), lr=0.1), data_loader=DataLoader(rows, batch_size=2),
        noise_multiplier=1.0, max_grad_norm=1.0,
    )  # fmt: skip
    taken = len(loader)
    assert taken == int(1 / (1 / batches)) == batches - (batches != 100)
    for _ in range(taken):
        engine.accountant.step(noise_multiplier=optimiser.noise_multiplier, sample_rate=1 / batches)
    assert spent(1.0, 1 / batches, taken, DELTA, "rdp").epsilon == engine.get_epsilon(DELTA)
    # A whole epoch costs what all its steps cost.
    assert spent(1.0, 1 / batches, batches, DELTA, "rdp").epsilon >= engine.get_epsilon(DELTA)


def test_where_prv_fails_the_answer_is_rdps_and_says_so(monkeypatch) -> None:
    from opacus.accountants import PRVAccountant

    def fail(*_, **__):
        raise RuntimeError("Discrete mean differs significantly from continuous mean.")

    accounting._spent.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(PRVAccountant, "get_epsilon", fail)
        epsilon, by, why = spent(1.0, 0.03, 10, DELTA)
    accounting._spent.cache_clear()
    assert (epsilon, by) == (spent(1.0, 0.03, 10, DELTA, "rdp").epsilon, "rdp")
    assert "PRV" in why and "Discrete mean differs" in why
    for broken in (inf, float("nan")):
        with monkeypatch.context() as patch:
            patch.setattr(PRVAccountant, "get_epsilon", lambda *_, value=broken, **__: value)
            assert spent(1.0, 0.03, 10, DELTA)[1] == "rdp"
        accounting._spent.cache_clear()


def test_a_huge_epsilon_costs_no_gigabytes(recwarn) -> None:
    found = spent(0.3, 0.1, 3000, DELTA)
    assert found.accountant == "rdp" and found.epsilon > 1000 and "points" in found.fallback
    assert not recwarn.list


@given(st.floats(0.5, 5), st.floats(0.01, 1), st.integers(1, 500))
@settings(max_examples=5)
def test_more_steps_higher_rates_and_less_noise_cost_more(noise: float, rate: float, steps: int) -> None:
    here = spent(noise, rate, steps, DELTA, "rdp").epsilon
    assert spent(noise, rate, steps + 50, DELTA, "rdp").epsilon > here
    assert spent(noise * 0.8, rate, steps, DELTA, "rdp").epsilon > here
    assert spent(noise, rate * 0.5, steps, DELTA, "rdp").epsilon <= here
    assert spent(noise, rate, steps, DELTA / 10, "rdp").epsilon > here


def test_steps_of_several_kinds_add_up_in_any_order() -> None:
    history = [(1.0, 0.1, 3), (2.0, 0.5, 2), (1.0, 0.1, 4)]
    for name in ("prv", "rdp"):
        together = spent_by(history, DELTA, name).epsilon
        assert together == pytest.approx(spent_by(history[::-1], DELTA, name).epsilon, rel=1e-6)
        assert together > spent(1.0, 0.1, 7, DELTA, name).epsilon


@pytest.mark.parametrize(
    "accountant, target",
    [("rdp", 0.5), ("rdp", 8.0), *(pytest.param("prv", target, marks=pytest.mark.slow) for target in (0.5, 2.91, 8.0))],
)
def test_the_noise_for_a_target_keeps_to_it_and_hardly_more(accountant, target: float) -> None:
    noise = noise_for(target, 0.1, 20, DELTA, accountant)
    assert spent(noise, 0.1, 20, DELTA, accountant).epsilon <= target
    assert spent(noise * 0.998, 0.1, 20, DELTA, accountant).epsilon > target


def test_no_noise_is_needed_where_nothing_is_asked_of_it() -> None:
    assert noise_for(inf, 0.1, 20, DELTA) == 0
    assert noise_for(1.0, 0.1, 0, DELTA) == 0
    with pytest.raises(ValueError, match=r"target_epsilon=0.01 .* rdp"):
        noise_for(0.01, 0.1, 20, DELTA, "rdp")
    with pytest.raises(ValueError, match="target_epsilon=0"):
        noise_for(0, 0.1, 20, DELTA)


@pytest.mark.parametrize(
    "accountant, each", [("rdp", 1), ("rdp", 7), *(pytest.param("prv", n, marks=pytest.mark.slow) for n in (1, 7))]
)
def test_a_run_stops_before_the_round_that_would_exceed_the_budget(accountant, each: int) -> None:
    rounds = steps_within(2.0, 1.2, 0.05, DELTA, accountant, each=each)
    assert rounds > 1
    assert spent(1.2, 0.05, rounds * each, DELTA, accountant).epsilon <= 2.0
    assert spent(1.2, 0.05, (rounds + 1) * each, DELTA, accountant).epsilon > 2.0


def test_a_budget_counts_what_was_spent_before_and_every_small_number_of_rounds() -> None:
    epsilon = [spent(1.0, 0.05, steps, DELTA, "rdp").epsilon for steps in range(1, 12)]
    for rounds, budget in enumerate(epsilon, 1):
        assert steps_within(budget, 1.0, 0.05, DELTA, "rdp") == rounds
        assert steps_within(budget * 0.9999, 1.0, 0.05, DELTA, "rdp") == rounds - 1
        assert steps_within(budget, 1.0, 0.05, DELTA, "rdp", at_most=3) == min(3, rounds)
    before = Ledger().after(1.0, 0.05, 4)
    assert steps_within(epsilon[9], 1.0, 0.05, DELTA, "rdp", before=before) == 6
    assert before.allows(epsilon[4], DELTA, 1.0, 0.05, accountant="rdp")
    assert not before.allows(epsilon[4], DELTA, 1.0, 0.05, 2, accountant="rdp")
    assert steps_within(inf, 0.0, 0.05, DELTA, at_most=50) == 50
    assert steps_within(5.0, 0.0, 0.05, DELTA) == 0


@pytest.mark.parametrize(
    "call, said",
    [
        (lambda: spent(-1, 0.1, 1, DELTA), "noise_multiplier=-1"),
        (lambda: spent(inf, 0.1, 1, DELTA), "noise_multiplier=inf"),
        (lambda: spent(float("nan"), 0.1, 1, DELTA), "noise_multiplier=nan"),
        (lambda: spent(1, 1.1, 1, DELTA), "sample_rate=1.1"),
        (lambda: spent(1, 0.1, -1, DELTA), "steps=-1"),
        (lambda: spent(1, 0.1, 1, 0), "delta=0"),
        (lambda: spent(1, 0.1, 1, 1), "delta=1"),
        (lambda: spent(1, 0.1, 1, DELTA, "gdp"), "accountant='gdp'"),  # type: ignore[arg-type]
        (lambda: steps_within(-1, 1, 0.1, DELTA), "budget=-1"),
        (lambda: Guarantee(-1, DELTA), "epsilon=-1"),
        (lambda: Guarantee(1, 2), "delta=2"),
        (lambda: Guarantee(1, DELTA, "round"), "unit='round'"),  # type: ignore[arg-type]
    ],
)
def test_what_is_out_of_range_is_refused_with_its_value(call, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        call()


def test_a_guarantee_says_all_that_an_epsilon_needs_said_with_it() -> None:
    ledger = Ledger().after(1.0, 0.05, 100)
    said = str(ledger.guarantee(DELTA, "example", "each client", units=4000))
    assert said == (
        f"epsilon = {ledger.spent(DELTA).epsilon:.2f} at delta = 1e-5 for one example added or removed; noise added by each "
        "client, who must be trusted with what it hides; accountant: PRV"
    )
    assert "one user added or removed" in str(Guarantee(1, DELTA, "user"))
    assert "accountant: RDP (PRV failed: too wide)" in str(
        Guarantee(1, DELTA, "user", "x", "rdp", "PRV failed: too wide")
    )


def test_a_delta_of_one_in_n_is_warned_of() -> None:
    assert "1/n" in Guarantee(1, 0.001, units=1000).warning and "1/n" in str(Guarantee(1, 0.001, units=1000))
    assert Guarantee(1, 0.0009, units=1000).warning == "" and Guarantee(1, 0.001).warning == ""
    assert "infinite" in Guarantee(inf, DELTA).warning


PEERS = [(0.8, 0.01, 1500), (1.0, 0.05, 300), (1.5, 0.2, 60), (2.0, 1.0, 10), (4.0, 0.1, 400), (0.6, 0.02, 200)]


@pytest.mark.peers
@pytest.mark.parametrize("noise, rate, steps", PEERS)
def test_epsilon_agrees_with_googles_dp_accounting(noise: float, rate: float, steps: int) -> None:
    rdp = pytest.importorskip("dp_accounting.rdp", reason=REASON)
    pld = pytest.importorskip("dp_accounting.pld", reason=REASON)
    for name, accountant, tolerance in [("rdp", rdp.RdpAccountant(), 0.01), ("prv", pld.PLDAccountant(), 0.02)]:
        theirs = compose(accountant, [(noise, rate, steps)])
        assert spent(noise, rate, steps, DELTA, name).epsilon == pytest.approx(theirs, rel=tolerance)  # type: ignore[arg-type]


@pytest.mark.peers
def test_several_kinds_of_step_agree_with_googles_dp_accounting() -> None:
    rdp = pytest.importorskip("dp_accounting.rdp", reason=REASON)
    pld = pytest.importorskip("dp_accounting.pld", reason=REASON)
    history = [(1.0, 0.02, 200), (1.5, 0.1, 30), (3.0, 0.5, 10)]
    assert spent_by(history, DELTA, "rdp").epsilon == pytest.approx(compose(rdp.RdpAccountant(), history), rel=0.01)
    assert spent_by(history, DELTA, "prv").epsilon == pytest.approx(compose(pld.PLDAccountant(), history), rel=0.02)


REASON = "dp-accounting is not installed: pip install 'dml-vs-fl[peers]'"


def compose(accountant, history) -> float:
    import dp_accounting

    for noise, rate, steps in history:
        event = dp_accounting.PoissonSampledDpEvent(rate, dp_accounting.GaussianDpEvent(noise))
        accountant.compose(event, steps)
    return accountant.get_epsilon(DELTA)
