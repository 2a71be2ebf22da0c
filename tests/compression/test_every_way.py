"""What holds for every way of packing a vector: its bytes, what it loses, and that what it loses is not lost for good."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from course_lib.compression import Compression, LowRank, Quantise, RandomK, Sign, TopK
from tests.compression.ways import FEEDBACK, NOTHING_LOST, WAYS, shaped, there_and_back, vectors

way = pytest.mark.parametrize("way", WAYS, ids=str)


@way
@given(vectors)
def test_a_vector_takes_the_bytes_that_were_announced(way: Compression, vector: Tensor) -> None:
    way = shaped(way, len(vector))
    packed, _ = way.pack(vector)
    assert packed.dtype == torch.uint8 and packed.shape == (way.size(len(vector)),)
    assert way.unpack(packed, len(vector)).shape == vector.shape
    assert way.unpack(packed, len(vector)).dtype == torch.float32


@pytest.mark.parametrize(
    ("way", "bytes_of_1001"),
    [
        (Quantise(), 1005), (Quantise(bits=1), 8 + 126), (Sign(), 126), (TopK(0.01), 80), (RandomK(0.01), 8 + 40),
        (LowRank(2, shapes=((20, 50), (1,))), 4 * (2 * 70 + 1)),
    ],
    ids=str,
)  # fmt: skip
def test_the_bytes_are_those_of_the_textbook(way: Compression, bytes_of_1001: int) -> None:
    assert way.size(1001) == bytes_of_1001 == len(way.pack(torch.randn(1001))[0])


@pytest.mark.parametrize("way", NOTHING_LOST, ids=str)
@given(vectors)
def test_where_everything_is_sent_nothing_is_lost(way: Compression, vector: Tensor) -> None:
    way = shaped(way, len(vector))
    packed, memory = way.pack(vector)
    assert torch.equal(way.unpack(packed, len(vector)), vector)
    assert memory is None or not memory.any()


@pytest.mark.parametrize("way", FEEDBACK, ids=str)
@settings(max_examples=20)
@given(st.integers(0, 2**32))
def test_with_feedback_all_that_was_sent_and_what_is_left_is_all_that_came_in(way: Compression, seed: int) -> None:
    inputs = torch.randn(30, 41, generator=torch.Generator().manual_seed(seed))
    way, sent, memory = shaped(way, 41), torch.zeros(41), None
    for vector in inputs:
        packed, memory = way.pack(vector, memory)
        sent += way.unpack(packed, 41)
    assert memory is not None and memory[:41].any()
    torch.testing.assert_close(sent + memory[:41], inputs.sum(0), rtol=0, atol=1e-4)


@pytest.mark.parametrize("way", FEEDBACK, ids=str)
def test_what_is_left_stays_bounded(way: Compression) -> None:
    inputs = torch.randn(1000, 40, generator=torch.Generator().manual_seed(0)) + 0.3
    way, memory, sizes = shaped(way, 40), None, []
    for vector in inputs:
        memory = way.pack(vector, memory)[1]
        assert memory is not None
        sizes.append(float(memory[:40].norm()))
    assert max(sizes[500:]) < 2 * max(sizes[:500])


@way
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("values", [50, 48])
def test_a_value_that_is_not_finite_stays_visible(way: Compression, bad: float, values: int) -> None:
    vector = torch.linspace(-1, 1, values)
    vector[17] = bad
    assert not there_and_back(shaped(way, values), vector).isfinite().all()


@way
def test_zeros_stay_small_and_a_callers_vectors_stay_as_they_are(way: Compression) -> None:
    way = shaped(way, 20)
    zeros, memory = torch.zeros(20), way.pack(torch.ones(20))[1]
    found = there_and_back(way, zeros)
    if isinstance(way, Sign):  # one bit knows no zero: half go up, half go down
        assert len(found.unique()) == 2
        torch.testing.assert_close(found.abs(), torch.full((20,), way.scale))
    else:
        assert not found.any()
    before = None if memory is None else memory.clone()
    way.pack(zeros, memory)
    assert not zeros.any() and (memory is None or before is None or torch.equal(before, memory))


@way
@pytest.mark.parametrize("value", [-3.5, 2.0])
def test_a_single_number_is_a_vector_too(way: Compression, value: float) -> None:
    way = shaped(way, 1)
    expected = torch.tensor([value]).sign() * way.scale if isinstance(way, Sign) else torch.tensor([value])
    torch.testing.assert_close(there_and_back(way, torch.tensor([value])), expected)


@pytest.mark.parametrize("way", [Quantise(stochastic=True), Quantise(stochastic=True, bits=1), RandomK(0.25, False)])
def test_what_is_drawn_at_random_is_right_on_average(way: Compression) -> None:
    generator = torch.Generator().manual_seed(3)
    vector, times = torch.randn(40, generator=generator), 4000
    torch.manual_seed(0)
    found = torch.stack([there_and_back(way, vector) for _ in range(times)]).double()
    error = found.std(0) / times**0.5
    assert ((found.mean(0) - vector).abs() < 4 * error + 1e-6).all()
    # The test would see a bias of a tenth of the typical number.
    assert error.median() < 0.025
    assert (found[0] - vector).abs().max() > 0


@pytest.mark.parametrize("way", [Quantise(), Quantise(bits=1), TopK(0.25), RandomK(0.25, True), Sign()], ids=str)
def test_what_is_not_random_or_kept_for_later_is_wrong_on_average(way: Compression) -> None:
    vector = torch.randn(40, generator=torch.Generator().manual_seed(3))
    torch.manual_seed(0)
    found = torch.stack([there_and_back(way, vector) for _ in range(4000)]).double()
    error = found.std(0) / 4000**0.5
    assert ((found.mean(0) - vector).abs() > 4 * error + 1e-6).any()


@pytest.mark.parametrize("share", [0, -0.1, 1.01, float("nan")])
@pytest.mark.parametrize("some", [TopK, RandomK])
def test_a_share_that_makes_no_sense_is_refused(some: type[TopK] | type[RandomK], share: float) -> None:
    with pytest.raises(ValueError, match=f"share={share} must be above 0 and at most 1"):
        some(share)


@pytest.mark.parametrize("some", [TopK, RandomK])
def test_a_share_of_less_than_one_number_is_one_number(some: type[TopK] | type[RandomK]) -> None:
    assert (there_and_back(some(1e-6), torch.ones(20)) != 0).sum() == 1


def test_settings_that_make_no_sense_are_refused_by_name() -> None:
    for bits in (0, 4, True, "8"):
        with pytest.raises(ValueError, match=f"bits={bits!r} must be 8 or 1"):
            Quantise(bits=bits)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="bits=1, stochastic=True and feedback=True do not go together"):
        Quantise(True, True, 1)
    for scale in (0, -1.0, float("inf"), float("nan")):
        with pytest.raises(ValueError, match=f"scale={scale} must be above 0 and finite"):
            Sign(scale)
    for rank in (0, -1, 1.5, True):
        with pytest.raises(ValueError, match=f"rank={rank!r} must be a whole number of at least 1"):
            LowRank(rank)  # type: ignore[arg-type]


@way
@pytest.mark.parametrize(
    "wrong",
    [torch.zeros(8, dtype=torch.float64), torch.arange(8), torch.zeros(2, 4)],
    ids=["float64", "int64", "matrix"],
)
def test_what_is_no_vector_of_float32_is_refused_and_not_taken_for_other_numbers(
    way: Compression, wrong: Tensor
) -> None:
    with pytest.raises(ValueError, match=r"cannot be packed: pass a vector of float32"):
        shaped(way, 8).pack(wrong)


@way
def test_a_message_of_another_length_is_refused(way: Compression) -> None:
    way = shaped(way, 8)
    packed, _ = way.pack(torch.ones(8))
    with pytest.raises(ValueError, match=f"are no message of {len(packed)} bytes"):
        way.unpack(packed[:-1], 8)


@pytest.mark.parametrize("way", FEEDBACK, ids=str)
def test_a_memory_of_another_vector_is_refused(way: Compression) -> None:
    way = shaped(way, 8)
    with pytest.raises(ValueError, match="a memory of 3 numbers is not that of a vector of 8"):
        way.pack(torch.ones(8), torch.zeros(3))


@pytest.mark.parametrize("setting", ["0.1", None, True, float("nan")])
def test_a_setting_that_is_no_number_is_refused_with_its_name_and_value(setting: object) -> None:
    for kind, name in ((TopK, "share"), (RandomK, "share"), (Sign, "scale")):
        with pytest.raises(ValueError, match=f"{name}={setting!r}"):
            kind(setting)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="bits="):
        Quantise(bits=setting)  # type: ignore[arg-type]
