"""The server's half of the protocol: it passes on what it cannot read, adds up noise, and asks for what removes the masks.

Source: Bonawitz et al. 2017, eprint 2017/281, figure 4, without the parts for a malicious server.
"""

from collections.abc import Container, Mapping

import numpy as np
import torch
from torch import Tensor

from course_lib.privacy.secure_aggregation import crypto, masks, shamir
from course_lib.privacy.secure_aggregation.agreement import PAIR_MASK, pair_key
from course_lib.privacy.secure_aggregation.errors import (
    AbortedError,
    ReplayedKeyError,
    UnexpectedMessageError,
    WrongLengthError,
    WrongShareError,
)
from course_lib.privacy.secure_aggregation.messages import DEALT_BYTES, KEYS_BYTES, check_length
from course_lib.privacy.secure_aggregation.settings import Settings

_NEXT = {"advertise": "share", "share": "mask", "mask": "unmask", "unmask": "sum"}


class Server:
    """The server in one round: `receive_keys` from each client, then `keys`; `receive_shares`, then `dealt`; `receive_masked`,
    then `request`; `receive_unmask`, then `sum`.

    Whoever has not sent a stage's message when the stage is closed has dropped out of it. Closing a stage raises AbortedError
    where fewer than the threshold sent theirs; messages out of turn, or twice, raise UnexpectedMessageError. `known`: public
    keys of earlier rounds, which are refused; this round's are added. It keeps only the running sum of the masked vectors,
    and with `record` each of them as well, in `seen`.
    """

    def __init__(self, settings: Settings, known: set[bytes] | None = None, record: bool = False) -> None:
        self.settings = settings
        self.seen: dict[int, Tensor] = {}
        self._known, self._record = set() if known is None else known, record
        self._open = "advertise"  # the stage; in the end "sum", then "done"; or "nothing"
        self._keys: dict[int, bytes] = {}  # U1 in the paper
        self._dealt: dict[int, dict[int, bytes]] = {}  # U2: by sender, by receiver
        self._masked: list[int] = []  # U3
        self._total = np.zeros(settings.size, dtype=np.uint32)
        self._shares: dict[int, dict[int, bytes]] = {}  # U4: by sender, by owner

    def receive_keys(self, client: int, message: bytes) -> None:
        """Take a client's public keys. Raises WrongLengthError; ReplayedKeyError for one that was used before, by anybody."""
        self._expect("advertise", client, self.settings.clients, self._keys)
        check_length(client, "its keys", message, KEYS_BYTES)
        keys = {message[: crypto.KEY_BYTES], message[crypto.KEY_BYTES :]}
        if len(keys) < 2 or keys & self._known:
            raise ReplayedKeyError(client, "one of its public keys was used before")
        self._known |= keys
        self._keys[client] = message

    def keys(self) -> dict[int, bytes]:
        """Close the first stage: return what everybody who is left gets, the keys by client."""
        self._close("advertise", len(self._keys))
        return dict(sorted(self._keys.items()))

    def receive_shares(self, client: int, dealt: Mapping[int, bytes]) -> None:
        """Take what a client deals to all who advertised, itself included. Raises WrongLengthError."""
        self._expect("share", client, self._keys, self._dealt)
        if set(dealt) != set(self._keys):
            raise UnexpectedMessageError(
                client, f"dealt shares to clients {sorted(dealt)}, not to {sorted(self._keys)}"
            )
        for message in dealt.values():
            check_length(client, "the shares it dealt", message, DEALT_BYTES)
        self._dealt[client] = dict(dealt)

    def dealt(self) -> dict[int, dict[int, bytes]]:
        """Close the second stage: return, for each client who is left, what the others dealt to it, by sender."""
        self._close("share", len(self._dealt))
        senders = sorted(self._dealt)
        return {receiver: {sender: self._dealt[sender][receiver] for sender in senders} for receiver in senders}

    def receive_masked(self, client: int, message: Tensor) -> None:
        """Take a masked vector, uint32 `(m + 2,)`. Raises WrongLengthError for another shape or type."""
        self._expect("mask", client, self._dealt, self._masked)
        if tuple(message.shape) != (self.settings.size,) or message.dtype != torch.uint32:
            raise WrongLengthError(
                client,
                f"its masked vector must be ({self.settings.size},) of uint32, not {tuple(message.shape)} of {message.dtype}",
            )
        masks.add(self._total, message.numpy(), 1)
        self._masked.append(client)
        if self._record:
            self.seen[client] = message.clone()

    def request(self) -> tuple[list[int], list[int]]:
        """Close the third stage: return the survivors, whose vectors are in the sum, and those who dropped out before."""
        self._close("mask", len(self._masked))
        return sorted(self._masked), sorted(set(self._dealt) - set(self._masked))

    def receive_unmask(self, client: int, shares: Mapping[int, bytes]) -> None:
        """Take a survivor's shares. Raises WrongLengthError, and WrongShareError for one that its owner did not deal to it."""
        self._expect("unmask", client, self._masked, self._shares)
        if set(shares) != set(self._dealt):
            raise UnexpectedMessageError(
                client, f"sent shares of clients {sorted(shares)}, not of {sorted(self._dealt)}"
            )
        for owner, share in shares.items():
            check_length(client, f"its share of client {owner}", share, shamir.SHARE_BYTES)
            start = crypto.DIGEST_BYTES if owner in self._masked else 0  # which of the two commitments
            if crypto.digest(share) != self._dealt[owner][client][start : start + crypto.DIGEST_BYTES]:
                raise WrongShareError(
                    client, f"its share of client {owner} is not the one that client {owner} dealt to it"
                )
        self._shares[client] = dict(shares)

    def sum(self) -> Tensor:
        """Close the last stage: return the survivors' weighted sum, float64 `(m,)`.

        Raises AbortedError where fewer than the threshold sent their shares, and WrongShareError, naming the owner, for shares
        that give no key, or another one than was advertised.
        """
        self._close("unmask", len(self._shares))
        for owner in sorted(self._dealt):
            secret = self._secret(owner)
            if owner in self._masked:
                key = masks.self_key(self.settings, secret, owner)
                masks.add(self._total, masks.expand(key, self.settings.size), -1)
            else:
                self._remove_pair_masks(owner, secret)
        self._open = "done"
        return torch.from_numpy(self.settings.quantiser.decode(self._total[: self.settings.values]))

    @property
    def weight(self) -> int:
        """The sum of the survivors' weights, once there is a sum."""
        return self._extra(0)

    @property
    def clipped(self) -> int:
        """How many values were cut off at the bound, over all survivors, once there is a sum."""
        return self._extra(1)

    def _extra(self, place: int) -> int:
        if self._open != "done":
            raise AbortedError("the sum is not unmasked: it, and what travels with it, look like noise")
        return int(self._total[self.settings.values + place])

    def _secret(self, owner: int) -> bytes:
        # Every share was checked, so no more than the threshold are needed.
        responders = sorted(self._shares)[: self.settings.threshold]
        try:
            return shamir.join(
                {client + 1: self._shares[client][owner] for client in responders}, self.settings.threshold
            )
        except shamir.ShareError as error:
            raise WrongShareError(owner, f"dealt shares that give no secret: {error}") from None

    def _remove_pair_masks(self, dropped: int, secret: bytes) -> None:
        """Take out the masks that survivors share with a client who dropped out: nobody sent the other halves."""
        private = crypto.PrivateKey.from_private_bytes(secret)
        if crypto.public_bytes(private) != self._keys[dropped][crypto.KEY_BYTES :]:
            raise WrongShareError(dropped, "dealt shares of another key than the one that it advertised")
        for survivor in self._masked:
            public = self._keys[survivor][crypto.KEY_BYTES :]
            key = pair_key(self.settings, PAIR_MASK, private, dropped, public, survivor)
            mask = masks.expand(key, self.settings.size)
            masks.add(self._total, mask, -masks.pair_sign(survivor, dropped))

    def _expect(self, stage: str, client: int, who: Container[int], already: Container[int]) -> None:
        if stage != self._open:
            raise UnexpectedMessageError(client, f"sent its message for {stage} when {self._open} is open")
        if client not in who:
            raise UnexpectedMessageError(client, f"sent a message for {stage}, but takes no part in it")
        if client in already:
            raise UnexpectedMessageError(client, f"sent its message for {stage} twice")

    def _close(self, stage: str, count: int) -> None:
        if stage != self._open:
            raise RuntimeError(f"the stage {stage} cannot be closed: {self._open} is open")
        if count < self.settings.threshold:
            self._open = "nothing"
            raise AbortedError(
                f"only {count} clients sent their message for {stage}, of {self.settings.threshold} needed: the round ends "
                "without a sum"
            )
        self._open = _NEXT[stage]
