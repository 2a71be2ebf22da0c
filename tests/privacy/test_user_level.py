"""DP-FedAvg: clipped updates, noise on the sum, a denominator that does not tell, and a bound that follows."""

from math import inf, sqrt

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest, norm
from torch import Tensor

from course_lib.learning import keys
from course_lib.privacy.user_level import Adaptive, State, UserLevel, clip, cohort, noise_beside_bits, noise_left

numbers = st.floats(-1e6, 1e6, width=32)
vectors = st.lists(numbers, min_size=1, max_size=40).map(torch.tensor)
SIZE = 4000


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def summed(settings: UserLevel, updates: list[Tensor], expected: float, seed: int = 0, state=None) -> Tensor:
    """The sum of the clients' messages in one round."""
    bound = settings.bound(state or {})
    messages = [
        settings.client(update, bound, expected, generator(seed * 1000 + i)) for i, update in enumerate(updates)
    ]
    return torch.stack(messages).sum(0) if messages else torch.zeros(settings.size(SIZE))


@given(vectors, st.floats(1e-3, 1e4))
def test_every_clipped_update_is_within_its_bound_and_keeps_its_direction(vector: Tensor, bound: float) -> None:
    clipped, size = clip(vector, bound), float(vector.double().norm())
    assert float(clipped.double().norm()) <= bound
    assert clipped.dtype == vector.dtype and clipped.shape == vector.shape
    if size <= bound:
        assert torch.equal(clipped, vector)
    else:
        torch.testing.assert_close(clipped.double(), vector.double() * (bound / size), rtol=1e-5, atol=1e-5 * bound)


def test_a_zero_update_stays_zero_and_one_that_is_not_finite_becomes_zero() -> None:
    for bound in (1e-30, 1.0, inf):
        assert torch.equal(clip(torch.zeros(3), bound), torch.zeros(3))
    for value in (float("nan"), inf, -inf):
        assert torch.equal(clip(torch.tensor([1.0, value]), 1.0), torch.zeros(2))
    assert float(clip(torch.full((3,), 3e38), 1.0).norm()) == pytest.approx(1.0)  # too large to be squared in 32 bits


def test_without_noise_and_bound_a_round_is_the_plain_mean_to_the_bit() -> None:
    settings, updates = UserLevel(0.0, inf), [torch.randn(SIZE, generator=generator(i)) for i in range(4)]
    assert torch.equal(settings.client(updates[0], settings.bound({})), updates[0])
    total = summed(settings, updates, 4.0)
    mean, state = settings.server(total, 4.0, {}, generator())
    assert torch.equal(mean, total / 4) and state == {}
    assert settings.size(SIZE) == SIZE


def test_the_denominator_is_the_number_expected_and_not_the_number_that_came() -> None:
    settings, update = UserLevel(0.0, 10.0), torch.ones(4)
    for came in (1, 3, 7):
        mean, _ = settings.server(came * update, 5.0, {}, generator())
        torch.testing.assert_close(mean, came / 5 * update)


@pytest.mark.parametrize("noise_by", ["server", "clients"])
@pytest.mark.parametrize("noise, bound, expected", [(1.0, 1.0, 10), (0.5, 3.0, 4)])
def test_the_noise_has_the_deviation_that_the_accountant_assumes(
    noise_by, noise: float, bound: float, expected
) -> None:
    settings = UserLevel(noise, bound, noise_by=noise_by)
    updates = [torch.full((SIZE,), 1e-3)] * expected
    total = summed(settings, updates, expected, seed=4)
    mean, _ = settings.server(total, expected, {}, generator(2))
    added = (mean - sum(clip(update, bound) for update in updates) / expected).numpy()
    deviation = noise * bound / expected
    assert added.std() == pytest.approx(deviation, rel=4 / sqrt(2 * SIZE))
    assert abs(added.mean()) < 4 * deviation / sqrt(SIZE)
    assert kstest(added, norm(scale=deviation).cdf).pvalue > 0.01


def test_dropouts_take_their_share_of_the_noise_with_them() -> None:
    settings, updates = UserLevel(2.0, 1.0, noise_by="clients"), [torch.zeros(SIZE)] * 10
    for arrived in (1, 5, 10):
        total = summed(settings, updates[:arrived], 10)
        assert float(total.std()) == pytest.approx(noise_left(2.0, 10, arrived), rel=4 / sqrt(2 * SIZE))
        # With shares for the fewest that are accepted, whoever else comes adds more.
        assert float(summed(settings, updates[:arrived], 1).std()) >= 2.0 * 0.95
    assert noise_left(2.0, 10, 10) == 2.0 and noise_left(2.0, 10, 0) == 0.0
    assert torch.equal(settings.server(total, 10, {}, generator())[0], total / 10)  # nothing more is added


@pytest.mark.parametrize("adaptive", [None, Adaptive(5.0)])
def test_a_round_without_clients_is_noise_alone(adaptive: Adaptive | None) -> None:
    settings = UserLevel(1.0, 2.0, adaptive)
    mean, _ = settings.server(torch.zeros(settings.size(SIZE)), 8.0, {}, generator(1))
    assert mean.shape == (SIZE,)
    assert float(mean.std()) == pytest.approx(settings.update_noise * 2.0 / 8, rel=4 / sqrt(2 * SIZE))
    # Of nobody, half are said to be within the bound, but for the noise.
    silent = UserLevel(0.0, 2.0, adaptive and Adaptive(0.0))
    assert silent.bound(silent.server(torch.zeros(silent.size(3)), 8.0, {}, generator())[1]) == 2.0


def test_a_cohort_is_drawn_client_by_client_and_keyed_by_seed_and_round() -> None:
    clients = list(range(100, 140))
    rounds = [cohort(clients, 0.2, 3, number) for number in range(300)]
    drawn = torch.tensor([[client in taken for client in clients] for taken in rounds]).double()
    assert float(drawn.mean()) == pytest.approx(0.2, abs=4 * sqrt(0.16 / 12_000))
    assert float(drawn.sum(1).var()) == pytest.approx(40 * 0.16, rel=0.35)
    assert rounds[0] == cohort(clients, 0.2, 3, 0) != rounds[1]
    assert rounds[:5] != [cohort(clients, 0.2, 4, number) for number in range(5)]
    assert [] in [cohort(clients, 0.02, 3, number) for number in range(50)]
    assert cohort(clients, 1.0, 3, 0) == clients and cohort(clients, 0.0, 3, 0) == []


def test_the_bit_says_whether_the_update_was_within_the_bound() -> None:
    settings = UserLevel(0.0, 1.0, Adaptive(0.0))
    assert settings.size(2) == 3
    assert settings.client(torch.tensor([0.6, 0.8]), 1.01)[-1] == 0.5
    assert settings.client(torch.tensor([0.6, 0.9]), 1.0)[-1] == -0.5
    assert settings.client(torch.tensor([float("nan"), 0.9]), 1.0).tolist() == [0, 0, -0.5]


@pytest.mark.parametrize("within, factor", [(0, exp_up := 2.718281828**0.1), (2, 1.0), (4, 1 / exp_up)])
def test_the_bound_follows_the_share_within_it_geometrically(within: int, factor: float) -> None:
    settings = UserLevel(0.0, 2.0, Adaptive(0.0, quantile=0.5, rate=0.2))
    updates = [torch.tensor([1.0])] * within + [torch.tensor([3.0])] * (4 - within)
    mean, state = settings.server(summed(settings, updates, 4), 4, {"other": torch.ones(1)}, generator())
    assert settings.bound(state) == pytest.approx(2 * factor) and "other" in state
    torch.testing.assert_close(mean, torch.tensor([(within + 2 * (4 - within)) / 4]))


@pytest.mark.parametrize("quantile", [0.2, 0.5, 0.8])
@pytest.mark.parametrize("noise_by", ["server", "clients"])
def test_the_bound_converges_to_the_quantile(quantile: float, noise_by) -> None:
    norms = torch.exp(torch.randn(60, generator=generator(3)))
    settings = UserLevel(1.0, 5.0, Adaptive(3.0, quantile), noise_by)
    state: State = {}
    bounds = []
    for number in range(120):
        bound, noise = settings.bound(state), keys.generator(number)
        total = torch.stack([settings.client(size.reshape(1), bound, 60, noise) for size in norms]).sum(0)
        _, state = settings.server(total, 60, state, noise)
        bounds.append(settings.bound(state))
    share = (norms <= sum(bounds[60:]) / 60).double().mean()
    assert float(share) == pytest.approx(quantile, abs=0.06)


@given(st.floats(0.1, 5), st.floats(0.1, 10))
def test_update_and_bits_together_cost_what_the_accountant_is_told(noise: float, bit_noise: float) -> None:
    if noise >= 2 * bit_noise:
        with pytest.raises(ValueError, match=r"noise_multiplier=.* must be below 2 x bit_noise=.*; raise bit_noise"):
            UserLevel(noise, 1.0, Adaptive(bit_noise))
        return
    of_update = UserLevel(noise, 1.0, Adaptive(bit_noise)).update_noise
    assert of_update == noise_beside_bits(noise, bit_noise) > noise
    # Two Gaussian releases add up as the squares of sensitivity over deviation: 1 / of_update, and 1/2 / bit_noise.
    assert of_update**-2 + (0.5 / bit_noise) ** 2 == pytest.approx(noise**-2)


def test_bits_are_noised_by_themselves_and_not_with_the_bound() -> None:
    settings = UserLevel(1.0, 50.0, Adaptive(0.6))
    bits, rest = [], []
    for number in range(400):
        noise = settings._noise(5, 50.0, keys.generator(number))
        bits.append(float(noise[-1]))
        rest.append(noise[:-1])
    assert float(torch.tensor(bits).std()) == pytest.approx(0.6, rel=0.15)
    assert float(torch.cat(rest).std()) == pytest.approx(50 * 1.809, rel=0.1)  # (1 - 1 / 1.2 ** 2) ** -0.5


@pytest.mark.parametrize(
    "call, said",
    [
        (lambda: UserLevel(-1, 1), "noise_multiplier=-1"),
        (lambda: UserLevel(1, 0), "clipping_norm=0"),
        (lambda: UserLevel(1, inf), "clipping_norm=inf with noise_multiplier=1"),
        (lambda: UserLevel(0, inf, Adaptive(1)), "clipping_norm=inf cannot follow"),
        (lambda: UserLevel(1, 1, noise_by="nobody"), "noise_by='nobody'"),  # type: ignore[arg-type]
        (lambda: UserLevel(1, 1, noise_by="clients").client(torch.ones(2), 1.0), "noise_by='clients' needs"),
        (lambda: UserLevel(1, 1).server(torch.ones(2), 0, {}, generator()), "expected=0"),
        (lambda: UserLevel(1, 1, noise_by="clients").client(torch.ones(2), 1.0, 0, generator()), "expected=0"),
        (lambda: Adaptive(-1), "bit_noise=-1"),
        (lambda: Adaptive(1, quantile=1.2), "quantile=1.2"),
        (lambda: Adaptive(1, rate=0), "rate=0"),
        (lambda: cohort([1], 1.5, 0, 0), "sample_rate=1.5"),
        (lambda: noise_left(1, 0, 1), "expected=0"),
    ],
)
def test_what_is_out_of_range_is_refused_with_its_value(call, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        call()
