"""Masks cancel in the sum, and what the server sees is noise: whole vectors, parts of the sum, and those of clients that are late."""

import secrets

import numpy as np
import pytest
import torch
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from scipy.stats import chi2

from course_lib.privacy.secure_aggregation import Client, crypto, insecure_source, masks
from tests.privacy.secure_aggregation.by_hand import COHORT, QUANTISER, ByHand, settings

VALUES = 20_000


def looks_uniform(words: np.ndarray) -> bool:
    """Whether each of a word's four bytes takes its 256 values equally often: chi-square, one error in 100,000 tests."""
    columns = np.ascontiguousarray(words, dtype="<u4").view(np.uint8).reshape(-1, 4).T
    expected = len(words) / 256
    statistics = [((np.bincount(column, minlength=256) - expected) ** 2 / expected).sum() for column in columns]
    return max(statistics) < chi2.isf(1e-5 / 4, 255)


def correlation(words: np.ndarray, values: np.ndarray) -> float:
    return abs(float(np.corrcoef(words.astype(np.float64), values)[0, 1]))


@pytest.fixture(scope="module")
def after_masking() -> ByHand:
    """Five clients with smooth vectors, far from uniform; client 3 was late: its masked vector came after the request."""
    protocol = ByHand(settings(values=VALUES))
    protocol.vectors = {client: torch.linspace(-1, client, VALUES) for client in COHORT}
    protocol.mask(without=[3])
    return protocol


def test_the_test_of_uniformity_tells_what_is_not_masked() -> None:
    encoded = QUANTISER.encode(torch.linspace(-1, 1, VALUES))[0]
    assert not looks_uniform(encoded)
    assert not looks_uniform(
        np.random.default_rng(0).integers(0, 2**31, VALUES, dtype=np.uint32)
    )  # the top bit is missing


def test_what_the_server_sees_of_each_client_is_noise_that_has_nothing_to_do_with_its_vector(
    after_masking: ByHand,
) -> None:
    seen = after_masking.server.seen
    assert sorted(seen) == [0, 1, 2, 4]
    for client, words in seen.items():
        assert looks_uniform(words.numpy())
        assert correlation(words[:VALUES].numpy(), after_masking.vectors[client].numpy()) < 5 / VALUES**0.5


def test_no_part_of_the_sum_is_anything_but_noise_before_unmasking(after_masking: ByHand) -> None:
    words = [message.numpy() for message in after_masking.server.seen.values()]
    for part in (words[:2], words[:3], words):  # the whole sum, too: self masks and client 3's pair masks are in it
        assert looks_uniform(np.stack(part).sum(axis=0, dtype=np.uint32))


def test_a_vector_that_arrives_late_stays_hidden_by_its_self_mask(after_masking: ByHand) -> None:
    # The server has client 3's mask key by then, and so all its pair masks. Without them there is still b_3.
    late = after_masking.clients[3]
    message = late.mask(after_masking.vectors[3]).numpy().copy()
    for other in (0, 1, 2, 4):
        pair = masks.expand(late._pair_mask_key(other), len(message))
        masks.add(message, pair, -masks.pair_sign(3, other))
    assert looks_uniform(message)
    own = masks.expand(masks.self_key(late.settings, late._seed, 3), len(message))
    masks.add(message, own, -1)
    assert message[:VALUES].tolist() == QUANTISER.encode(after_masking.vectors[3])[0].tolist()


def test_the_same_vector_is_masked_anew_in_every_round_and_by_every_source() -> None:
    first, second = ByHand(settings(round_index=0)), ByHand(settings(round_index=1))
    first.mask(), second.mask()
    for client in COHORT:
        assert not torch.eq(first.server.seen[client], second.server.seen[client]).any()


def test_even_the_same_keys_give_other_masks_in_another_round() -> None:
    client, other = X25519PrivateKey.generate(), X25519PrivateKey.generate()
    public = other.public_key().public_bytes_raw()
    keys = {
        crypto.agree(client, public, settings(round_index=round_index).context(purpose, *pair))
        for round_index in (0, 1) for purpose in ("pair mask", "seal") for pair in ((0, 1), (0, 2), (1, 12), (11, 2))
    }  # fmt: skip
    assert len(keys) == 16
    own = {masks.self_key(settings(round_index=k), bytes(32), client) for k in (0, 1) for client in (1, 2)}
    assert len(own) == 4


def test_both_clients_of_a_pair_have_the_same_key_and_take_its_mask_with_opposite_signs() -> None:
    protocol = ByHand()
    protocol.mask()
    assert protocol.clients[1]._pair_mask_key(4) == protocol.clients[4]._pair_mask_key(1)
    assert masks.pair_sign(4, 1) == -masks.pair_sign(1, 4) == 1


def test_masks_are_the_bytes_of_the_stream_cipher() -> None:
    key = bytes(range(32))
    block = Cipher(algorithms.ChaCha20(key, bytes(16)), mode=None).encryptor().update(bytes(4 * 1000))
    expanded = masks.expand(key, 1000)
    assert expanded.tolist() == [int.from_bytes(block[k : k + 4], "little") for k in range(0, 4000, 4)]
    assert masks.expand(key, 10).tolist() == expanded[:10].tolist()


def test_the_system_s_source_is_the_default_and_the_other_one_repeats() -> None:
    assert crypto.system_source is secrets.token_bytes
    assert Client(0, settings()).advertise() != Client(0, settings()).advertise()
    first, again, other = (insecure_source(seed, 2, 0)(16) for seed in (5, 5, 6))
    assert first == again != other
    assert len({insecure_source(5, client, round_index)(16) for client in (1, 2) for round_index in (0, 1)}) == 4
