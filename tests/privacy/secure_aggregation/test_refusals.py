"""Whatever must not be acted on is refused by name, with the client's id; and too few clients end the round."""

import pickle

import pytest
import torch

from course_lib.privacy.secure_aggregation import (
    AbortedError,
    Client,
    RefusedError,
    ReplayedKeyError,
    Server,
    UnexpectedMessageError,
    WrongLengthError,
    WrongShareError,
)
from tests.privacy.secure_aggregation.by_hand import ByHand, flipped, settings

# --- keys


def test_a_key_of_an_earlier_round_is_refused() -> None:
    known: set[bytes] = set()
    first = ByHand(known=known)
    keys = first.advertise()
    later = ByHand(settings(round_index=1), known=known)
    for replayed in (keys[2], keys[2][32:] + bytes(range(32))):
        with pytest.raises(ReplayedKeyError, match="client 2: one of its public keys was used before") as refusal:
            later.server.receive_keys(2, replayed)
        assert refusal.value.client == 2
    later.advertise()


def test_a_key_of_another_client_and_the_same_key_twice_are_refused_by_the_server() -> None:
    protocol = ByHand()
    message = protocol.clients[0].advertise()
    protocol.server.receive_keys(0, message)
    with pytest.raises(ReplayedKeyError, match="client 1:"):
        protocol.server.receive_keys(1, message)
    with pytest.raises(ReplayedKeyError, match="client 1:"):
        protocol.server.receive_keys(1, protocol.clients[1].advertise()[:32] * 2)


def test_a_client_refuses_a_list_in_which_keys_repeat_or_its_own_are_others() -> None:
    keys = ByHand().advertise()
    for swapped in (keys[0], keys[0][32:] + keys[3][32:]):
        fresh = ByHand()
        fresh.advertise()
        with pytest.raises(ReplayedKeyError, match="client 3: one of its keys is also that of client 0"):
            fresh.clients[1].share(keys | {3: swapped})
    for changed in (flipped(keys[1], 5), None):
        fresh = ByHand()
        fresh.advertise()
        listed = {k: v for k, v in (keys | {1: changed}).items() if v is not None}
        with pytest.raises(ReplayedKeyError, match="client 1: the keys handed out as its own"):
            fresh.clients[1].share(listed)


def test_keys_of_somebody_outside_the_cohort_are_refused() -> None:
    protocol = ByHand()
    keys = protocol.advertise()
    with pytest.raises(UnexpectedMessageError, match=r"client 9: .* not in the cohort"):
        protocol.clients[1].share(keys | {9: flipped(keys[0], 1)[::-1]})


@pytest.mark.parametrize("place", ["seal", "mask"])
def test_a_public_key_with_which_all_agree_on_the_same_is_refused(place: str) -> None:
    protocol = ByHand()
    keys = protocol.advertise()
    weak = bytes(32)  # a point of low order: every product with it is 0
    keys[2] = weak + keys[2][32:] if place == "seal" else keys[2][:32] + weak
    with pytest.raises(RefusedError, match="client 2: its public key"):
        dealt = {k: protocol.clients[k].share(keys) for k in (0, 1, 3, 4)}
        protocol.clients[0].receive({k: dealt[k][0] for k in dealt})
        protocol.clients[0]._shares[2] = {}  # as if it had dealt
        protocol.clients[0].mask(protocol.vectors[0])


# --- lengths


@pytest.mark.parametrize("message", [b"", bytes(63), bytes(65), "text"])
def test_keys_of_a_wrong_length_are_refused_by_server_and_client(message: bytes) -> None:
    with pytest.raises(WrongLengthError, match="client 3: its keys must be 64 bytes"):
        ByHand().server.receive_keys(3, message)
    protocol = ByHand()
    keys = protocol.advertise()
    with pytest.raises(WrongLengthError, match="client 3: its keys must be 64 bytes"):
        protocol.clients[0].share(keys | {3: message})


def test_dealt_shares_of_a_wrong_length_are_refused_by_server_and_client() -> None:
    protocol = ByHand()
    keys = protocol.advertise()
    dealt = protocol.clients[2].share(keys)
    with pytest.raises(WrongLengthError, match="client 2: the shares it dealt must be 158 bytes long, not 157"):
        protocol.server.receive_shares(2, dealt | {4: dealt[4][:-1]})
    with pytest.raises(UnexpectedMessageError, match=r"client 2: dealt shares to clients \[0, 1, 2, 3\]"):
        protocol.server.receive_shares(2, {k: dealt[k] for k in (0, 1, 2, 3)})
    protocol = ByHand()
    dealt_to = protocol.share()
    with pytest.raises(WrongLengthError, match="client 4:"):
        protocol.clients[1].receive(dealt_to[1] | {4: dealt_to[1][4] + b"\0"})


@pytest.mark.parametrize(
    "message",
    [
        torch.zeros(7, dtype=torch.uint32),
        torch.zeros(9, dtype=torch.uint32),
        torch.zeros(2, 4, dtype=torch.uint32),
        torch.zeros(8),
    ],
)
def test_a_masked_vector_of_a_wrong_shape_or_type_is_refused(message: torch.Tensor) -> None:
    protocol = ByHand()
    dealt = protocol.share()
    protocol.clients[1].receive(dealt[1])
    with pytest.raises(WrongLengthError, match=r"client 1: its masked vector must be \(8,\) of uint32"):
        protocol.server.receive_masked(1, message)
    protocol.server.receive_masked(1, protocol.clients[1].mask(protocol.vectors[1]))  # it may still send the right one


def test_a_share_of_a_wrong_length_is_refused() -> None:
    protocol = ByHand()
    shares = protocol.clients[0].unmask(*protocol.mask())
    with pytest.raises(WrongLengthError, match="client 0: its share of client 3 must be 33 bytes long, not 32"):
        protocol.server.receive_unmask(0, shares | {3: shares[3][:32]})


# --- out of turn, unknown, too few


def test_stages_come_in_order_and_once() -> None:
    protocol = ByHand()
    client = protocol.clients[0]
    with pytest.raises(UnexpectedMessageError, match="client 0: was asked to share, when advertise comes next"):
        client.share({})
    keys = protocol.advertise()
    with pytest.raises(UnexpectedMessageError, match="asked to advertise, when share comes next"):
        client.advertise()
    with pytest.raises(UnexpectedMessageError, match="asked to mask, when share comes next"):
        client.mask(protocol.vectors[0])
    client.share(keys)
    with pytest.raises(UnexpectedMessageError, match="asked to unmask, when receive comes next"):
        client.unmask([0, 1, 2], [])


def test_a_vector_is_masked_once() -> None:
    protocol = ByHand()
    protocol.mask()
    with pytest.raises(UnexpectedMessageError, match="asked to mask, when unmask comes next"):
        protocol.clients[0].mask(protocol.vectors[1])


def test_the_server_refuses_messages_of_another_stage_twice_or_of_those_who_dropped_out() -> None:
    protocol = ByHand()
    server = protocol.server
    with pytest.raises(UnexpectedMessageError, match="client 0: sent its message for mask when advertise is open"):
        server.receive_masked(0, torch.zeros(8, dtype=torch.uint32))
    with pytest.raises(UnexpectedMessageError, match=r"client 9: .* takes no part"):
        server.receive_keys(9, bytes(64))
    survivors, dropped = protocol.mask(without=[3])
    assert (survivors, dropped) == ([0, 1, 2, 4], [3])
    with pytest.raises(UnexpectedMessageError, match="client 3: sent its message for mask when unmask is open"):
        server.receive_masked(3, protocol.clients[3].mask(protocol.vectors[3]))
    shares = protocol.clients[0].unmask(survivors, dropped)
    with pytest.raises(UnexpectedMessageError, match=r"client 3: .* takes no part"):
        server.receive_unmask(3, shares)
    with pytest.raises(UnexpectedMessageError, match=r"client 0: sent shares of clients \[0\]"):
        server.receive_unmask(0, {0: shares[0]})
    server.receive_unmask(0, shares)
    with pytest.raises(UnexpectedMessageError, match="client 0: sent its message for unmask twice"):
        server.receive_unmask(0, shares)
    with pytest.raises(RuntimeError, match="the stage mask cannot be closed: unmask is open"):
        server.request()


def test_a_client_does_not_unmask_a_sum_without_its_own_vector_or_with_a_stranger_s() -> None:
    protocol = ByHand()
    protocol.mask()
    with pytest.raises(UnexpectedMessageError, match="client 0: it is asked to unmask a sum"):
        protocol.clients[0].unmask([1, 2, 3], [4])
    with pytest.raises(UnexpectedMessageError, match="client 9: shares of it are asked for"):
        protocol.clients[0].unmask([0, 1, 2, 9], [])
    assert protocol.clients[0]._revealed == {}


def test_shares_from_somebody_without_keys_or_without_its_own_are_refused() -> None:
    protocol = ByHand()
    dealt = protocol.share()[0]
    with pytest.raises(UnexpectedMessageError, match="client 9: dealt shares without"):
        protocol.clients[0].receive(dealt | {9: dealt[1]})
    protocol = ByHand()
    dealt = protocol.share()[0]
    with pytest.raises(UnexpectedMessageError, match="client 0: the shares that it dealt to itself"):
        protocol.clients[0].receive({k: dealt[k] for k in (1, 2, 3)})


def test_with_too_few_clients_each_party_ends_the_round_by_itself() -> None:
    few = ByHand()
    with pytest.raises(AbortedError, match="only 2 clients sent their message for advertise, of 3 needed"):
        few.advertise(without=[0, 1, 2])
    with pytest.raises(UnexpectedMessageError, match="when nothing is open"):
        few.server.receive_keys(0, few.clients[0].advertise())

    protocol = ByHand()
    keys = protocol.advertise()
    with pytest.raises(AbortedError, match="client 0: only 2 clients advertised keys, of 3 needed"):
        protocol.clients[0].share({k: keys[k] for k in (0, 1)})
    dealt = {k: protocol.clients[k].share(keys) for k in (1, 2)}
    with pytest.raises(AbortedError, match="client 1: only 2 clients dealt shares"):
        protocol.clients[1].receive({k: dealt[k][1] for k in (1, 2)})

    protocol = ByHand()
    protocol.mask()
    for survivors in ([0, 1], [0, 1, 1, 0]):
        with pytest.raises(AbortedError, match="client 0: only 2 clients sent a masked vector"):
            protocol.clients[0].unmask(survivors, [2, 3, 4])
    assert protocol.clients[0]._revealed == {}


def test_before_the_sum_is_unmasked_what_travels_with_it_is_not_told() -> None:
    protocol = ByHand()
    protocol.mask()
    for name in ("weight", "clipped"):
        with pytest.raises(AbortedError, match="look like noise"):
            getattr(protocol.server, name)


@pytest.mark.parametrize("weight", [0, 11, 2.5, -1])
def test_a_weight_that_was_not_agreed_on_is_refused(weight: int) -> None:
    protocol = ByHand()
    dealt = protocol.share()
    protocol.clients[0].receive(dealt[0])
    with pytest.raises(
        ValueError, match=rf"client 0: weight={weight} must be a whole number from 1 to largest_weight=10"
    ):
        protocol.clients[0].mask(protocol.vectors[0], weight)
    protocol.clients[0].mask(protocol.vectors[0], 10)  # the round goes on


@pytest.mark.parametrize("vector", [torch.zeros(5), torch.zeros(7), torch.zeros(2, 3)])
def test_a_vector_of_another_size_is_refused(vector: torch.Tensor) -> None:
    protocol = ByHand()
    dealt = protocol.share()
    protocol.clients[0].receive(dealt[0])
    with pytest.raises(ValueError, match=r"client 0: the vector must be \(6,\)"):
        protocol.clients[0].mask(vector)


def test_a_client_outside_the_cohort_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="client 7 is not in the cohort"):
        Client(7, settings())


def test_what_the_server_recorded_stays_as_it_was_when_it_arrived() -> None:
    protocol = ByHand()
    dealt = protocol.share()
    protocol.clients[1].receive(dealt[1])
    message = protocol.clients[1].mask(protocol.vectors[1])
    kept = message.clone()
    protocol.server.receive_masked(1, message)
    message.zero_()
    assert torch.equal(protocol.server.seen[1], kept)


def test_refusals_travel_between_processes() -> None:
    refusal = pickle.loads(pickle.dumps(WrongShareError(3, "is wrong")))
    assert (type(refusal), refusal.client, str(refusal)) == (WrongShareError, 3, "client 3: is wrong")
    assert Server(settings()).seen == {}
