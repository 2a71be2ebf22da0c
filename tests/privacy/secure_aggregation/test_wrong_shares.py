"""A wrong share is refused by the name of whose doing it was, and nobody gives away both shares of one client."""

import pytest
import torch

from course_lib.privacy.secure_aggregation import (
    BothSharesError,
    WrongShareError,
)
from tests.privacy.secure_aggregation.by_hand import COHORT, ByHand, flipped, settings

# --- wrong shares


@pytest.mark.parametrize("place", range(0, 158, 13))
def test_dealt_shares_that_were_changed_on_the_way_are_refused_by_the_sender_s_name(place: int) -> None:
    protocol = ByHand()
    dealt = protocol.share()[1]
    with pytest.raises(WrongShareError, match="client 4:") as refusal:
        protocol.clients[1].receive(dealt | {4: flipped(dealt[4], place)})
    assert refusal.value.client == 4


def test_dealt_shares_meant_for_another_or_of_another_round_are_refused() -> None:
    protocol, later = ByHand(), ByHand(settings(round_index=1))
    dealt, of_later = protocol.share(), later.share()
    with pytest.raises(WrongShareError, match="client 4: its shares cannot be opened"):
        protocol.clients[1].receive(dealt[1] | {4: dealt[2][4]})
    with pytest.raises(WrongShareError, match="client 4: its shares cannot be opened"):
        later.clients[1].receive(of_later[1] | {4: dealt[1][4]})


def test_what_a_client_dealt_cannot_be_sent_back_to_it_as_if_another_had() -> None:
    protocol = ByHand()
    dealt = protocol.share()
    with pytest.raises(WrongShareError, match="client 4: its shares cannot be opened"):
        protocol.clients[1].receive(dealt[1] | {4: dealt[4][1]})  # sealed under the same pair's key


@pytest.mark.parametrize("owner", [1, 3])  # a survivor's self mask, a dropped client's mask key
def test_a_wrong_share_is_refused_by_the_name_of_who_sent_it_and_the_sum_goes_on_without(owner: int) -> None:
    protocol = ByHand()
    request = protocol.mask(without=[3])
    liar = protocol.clients[0].unmask(*request)
    with pytest.raises(WrongShareError, match=f"client 0: its share of client {owner} is not the one") as refusal:
        protocol.server.receive_unmask(0, liar | {owner: flipped(liar[owner], 7)})
    assert refusal.value.client == 0
    for client in (1, 2, 4):
        protocol.server.receive_unmask(client, protocol.clients[client].unmask(*request))
    expected = sum(protocol.vectors[client].double() for client in (0, 1, 2, 4))
    torch.testing.assert_close(protocol.server.sum(), expected, rtol=0, atol=4 * protocol.settings.quantiser.step / 2)


def test_the_share_of_a_mask_key_is_not_taken_for_that_of_a_self_mask() -> None:
    protocol = ByHand()
    request = protocol.mask()
    shares = protocol.clients[0].unmask(*request)
    other_kind = protocol.clients[0]._shares[2]["mask key"]
    with pytest.raises(WrongShareError, match="client 0: its share of client 2"):
        protocol.server.receive_unmask(0, shares | {2: other_kind})


def test_a_client_that_dealt_shares_of_another_key_than_it_advertised_is_named() -> None:
    protocol = ByHand()
    keys = protocol.advertise()
    protocol.clients[3]._mask_secret = bytes(range(32))
    for client in COHORT:
        protocol.server.receive_shares(client, protocol.clients[client].share(keys))
    dealt = protocol.server.dealt()
    for client in (0, 1, 2, 4):
        protocol.clients[client].receive(dealt[client])
        protocol.server.receive_masked(client, protocol.clients[client].mask(protocol.vectors[client]))
    request = protocol.server.request()
    for client in (0, 1, 2, 4):
        protocol.server.receive_unmask(client, protocol.clients[client].unmask(*request))
    with pytest.raises(WrongShareError, match="client 3: dealt shares of another key"):
        protocol.server.sum()


# --- both shares


def test_a_request_for_both_shares_of_one_client_is_refused_and_nothing_is_revealed() -> None:
    protocol = ByHand()
    survivors, _ = protocol.mask()
    with pytest.raises(BothSharesError, match="client 2: both its shares") as refusal:
        protocol.clients[0].unmask(survivors, [2])
    assert refusal.value.client == 2
    assert protocol.clients[0]._revealed == {}


def test_nor_may_both_be_asked_for_in_two_requests() -> None:
    protocol = ByHand()
    protocol.mask()
    client = protocol.clients[0]
    first = client.unmask([0, 1, 2, 3], [4])
    assert client.unmask([0, 1, 2, 3], [4]) == first  # the same again reveals nothing more
    for survivors, dropped, named in (([0, 1, 2, 3, 4], [], 4), ([0, 1, 2], [3, 4], 3)):
        with pytest.raises(BothSharesError, match=f"client {named}:"):
            client.unmask(survivors, dropped)


def test_each_reply_holds_one_share_of_each_client_and_the_right_one() -> None:
    protocol = ByHand()
    protocol.mask(without=[3])
    shares = protocol.clients[1].unmask([0, 1, 2, 4], [3])
    held = protocol.clients[1]._shares
    assert shares == {k: held[k]["mask key" if k == 3 else "self mask"] for k in COHORT}
