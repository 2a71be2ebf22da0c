"""Few of the numbers."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from course_lib.compression import RandomK, TopK
from tests.compression.ways import there_and_back, vectors


@given(vectors, st.floats(0.01, 1))
def test_top_k_sends_the_largest_as_they_are_and_nothing_else(vector: Tensor, share: float) -> None:
    sent = there_and_back(TopK(share), vector)
    kept = max(1, round(share * len(vector)))
    chosen = sent != 0
    assert torch.equal(sent[chosen], vector[chosen]) and chosen.sum() <= kept
    order = vector.abs().sort(descending=True).values
    torch.testing.assert_close(sent.abs().sort(descending=True).values[:kept], order[:kept])


def test_without_feedback_small_numbers_are_never_sent_and_with_it_they_are() -> None:
    vector = torch.tensor([1.0, 0.3, 0.2])
    for feedback in (False, True):
        way, total, residual = TopK(0.34, feedback=feedback), torch.zeros(3), None
        for _ in range(60):
            packed, residual = way.pack(vector, residual)
            total += way.unpack(packed, 3)
        assert (residual is not None) == feedback
        assert ((total[1:] / 60 - vector[1:]).abs() < 0.05).all() == feedback


def test_packing_a_gradient_is_packing_a_vector() -> None:
    gradient = torch.from_numpy(np.random.default_rng(0).normal(size=1000)).float()
    packed, residual = TopK(0.5).pack(gradient)
    assert residual is not None
    assert torch.equal(TopK(0.5).unpack(packed, 1000) + residual, gradient)


def test_bytes_that_nobody_packed_are_unpacked_as_nan_and_so_left_out() -> None:
    forged = torch.full((TopK(0.1).size(100),), 255, dtype=torch.uint8)
    assert TopK(0.1).unpack(forged, 100).isnan().all()


@given(vectors, st.integers(0, 2**32))
def test_random_k_sends_the_numbers_of_its_places_scaled_where_nothing_is_kept(vector: Tensor, seed: int) -> None:
    for feedback in (False, True):
        way = RandomK(0.3, feedback)
        torch.manual_seed(seed)
        packed, left = way.pack(vector)
        places = way.places(len(vector), int(packed[:8].view(torch.int64)))
        assert len(set(places.tolist())) == max(1, round(0.3 * len(vector)))
        scale = 1.0 if feedback else len(vector) / len(places)
        expected = torch.zeros(len(vector))
        expected[places] = vector[places] * scale
        torch.testing.assert_close(way.unpack(packed, len(vector)), expected)
        assert (left is not None) == feedback


def test_the_places_come_from_their_seed_alone_and_differ_from_message_to_message() -> None:
    way = RandomK(0.1)
    torch.manual_seed(1)
    one = way.places(1000, 7)
    torch.manual_seed(2)
    assert torch.equal(one, way.places(1000, 7)) and not torch.equal(one, way.places(1000, 8))
    first, second = (way.pack(torch.ones(1000))[0] for _ in range(2))
    assert not torch.equal(way.unpack(first, 1000), way.unpack(second, 1000))


def test_messages_with_the_same_places_add_up() -> None:
    vectors = dict(enumerate(torch.randn(3, 100, generator=torch.Generator().manual_seed(0))))
    way = RandomK(0.2, feedback=False)
    sizes: list[int] = []

    def mean_of(parts):
        sizes.extend(len(part) for part in parts.values())
        return torch.stack(list(parts.values())).mean(0)

    mean, kept = way.all_reduced(vectors, {}, 5, mean_of)
    places = way.places(100, 5)
    expected = torch.zeros(100)
    expected[places] = 5 * torch.stack(list(vectors.values())).mean(0)[places]
    torch.testing.assert_close(mean, expected)
    assert sizes == [20] * 3 and kept == {}
