"""A client's half of the protocol: four messages, in this order, and every check that a client can make.

Source: Bonawitz et al. 2017, eprint 2017/281, figure 4, without the parts for a malicious server.
"""

from collections.abc import Collection, Mapping

import numpy as np
import torch
from torch import Tensor

from course_lib.privacy.secure_aggregation import crypto, masks, shamir
from course_lib.privacy.secure_aggregation.agreement import PAIR_MASK, SEAL, pair_key
from course_lib.privacy.secure_aggregation.errors import (
    AbortedError,
    BothSharesError,
    ReplayedKeyError,
    UnexpectedMessageError,
    WrongShareError,
)
from course_lib.privacy.secure_aggregation.messages import (
    COMMITMENTS_BYTES,
    DEALT_BYTES,
    KEYS_BYTES,
    check_length,
)
from course_lib.privacy.secure_aggregation.settings import Settings

_STAGES = ("advertise", "share", "receive", "mask", "unmask")
MASK_KEY, SELF_MASK = "mask key", "self mask"


class Client:
    """One client in one round: call `advertise`, `share`, `receive`, `mask` and `unmask`, each once and in this order.

    Each raises UnexpectedMessageError out of turn. `source`: where its random bytes come from.
    """

    def __init__(self, own: int, settings: Settings, source: crypto.Source = crypto.system_source) -> None:
        if own not in settings.clients:
            raise ValueError(f"client {own} is not in the cohort {settings.clients}")
        self.own, self.settings, self._source = own, settings, source
        self.clipped = 0  # of its values, how many were cut off at the bound
        self._next = 0
        self._keys: dict[int, bytes] = {}  # those who advertised, U1 in the paper
        self._shares: dict[int, dict[str, bytes]] = {}  # by owner: those who dealt shares, U2
        self._seal_keys: dict[int, bytes] = {}
        self._revealed: dict[int, str] = {}

    def advertise(self) -> bytes:
        """Return this client's two public keys, 64 bytes: one to seal shares, one to make masks."""
        self._turn("advertise")
        self._mask_secret = self._source(crypto.KEY_BYTES)
        self._seal_private = crypto.PrivateKey.from_private_bytes(self._source(crypto.KEY_BYTES))
        self._mask_private = crypto.PrivateKey.from_private_bytes(self._mask_secret)
        self._advertised = crypto.public_bytes(self._seal_private) + crypto.public_bytes(self._mask_private)
        return self._advertised

    def share(self, keys: Mapping[int, bytes]) -> dict[int, bytes]:
        """Return, for each client in `keys`, what the server must hand to it: this client's secrets, in shares, sealed.

        `keys`: what everybody advertised, this client too. Its own share takes the same way as all others. Before the sealed
        part come two commitments, with which a wrong share is recognised later; they are not in the paper.
        Raises WrongLengthError, ReplayedKeyError, UnexpectedMessageError; AbortedError when fewer than the threshold advertised.
        """
        self._turn("share")
        self._check_keys(keys)
        self._keys = dict(keys)
        self._seed = self._source(crypto.KEY_BYTES)
        points = [client + 1 for client in sorted(keys)]
        dealt = {
            kind: shamir.split(secret, points, self.settings.threshold, self._source)
            for kind, secret in ((MASK_KEY, self._mask_secret), (SELF_MASK, self._seed))
        }
        messages = {}
        for client in sorted(keys):
            parts = [dealt[kind][client + 1] for kind in (MASK_KEY, SELF_MASK)]
            context = self._context(self.own, client)
            sealed = crypto.seal(self._seal_key(client), b"".join(parts), context, self._source)
            messages[client] = b"".join(map(crypto.digest, parts)) + sealed
        return messages

    def receive(self, dealt: Mapping[int, bytes]) -> None:
        """Take the shares that others, and this client, dealt to it; who dealt none is out of the round.

        Raises WrongLengthError, WrongShareError, UnexpectedMessageError; AbortedError when fewer than the threshold dealt.
        """
        self._turn("receive")
        for client in dealt:
            if client not in self._keys:
                raise UnexpectedMessageError(client, "dealt shares without having advertised keys")
        if self.own not in dealt:
            raise UnexpectedMessageError(self.own, "the shares that it dealt to itself did not come back")
        self._enough(len(dealt), "dealt shares")
        for client, message in dealt.items():
            check_length(client, "the shares it dealt", message, DEALT_BYTES)
            commitments, sealed = message[:COMMITMENTS_BYTES], message[COMMITMENTS_BYTES:]
            try:
                plain = crypto.unseal(self._seal_key(client), sealed, self._context(client, self.own))
            except ValueError as error:
                raise WrongShareError(client, f"its shares cannot be opened: {error}") from None
            parts = plain[: shamir.SHARE_BYTES], plain[shamir.SHARE_BYTES :]
            if b"".join(map(crypto.digest, parts)) != commitments:
                raise WrongShareError(client, "its shares are not those that it committed itself to")
            self._shares[client] = dict(zip((MASK_KEY, SELF_MASK), parts, strict=True))

    def mask(self, vector: Tensor, weight: int = 1) -> Tensor:
        """Return `weight * vector`, rounded and masked: uint32 `(m + 2,)`. The weight, and how many values were cut off at the
        bound, travel behind the values, just as hidden.

        Raises ValueError for a vector that is not `(m,)` or not finite, and for a weight that is not a whole number from 1 to
        the largest that was agreed on. After an error the call may be made again.
        """
        settings, whole = self.settings, int(weight)
        if tuple(vector.shape) != (settings.values,):
            raise ValueError(f"client {self.own}: the vector must be ({settings.values},), not {tuple(vector.shape)}")
        if whole != weight or not 1 <= whole <= settings.largest_weight:
            raise ValueError(
                f"client {self.own}: weight={weight} must be a whole number from 1 to largest_weight={settings.largest_weight}"
            )
        encoded, clipped = settings.quantiser.encode(vector, whole)
        self._turn("mask")
        self.clipped = clipped
        total = np.concatenate([encoded, np.array([whole, clipped], dtype=np.uint32)])
        masks.add(total, masks.expand(masks.self_key(settings, self._seed, self.own), settings.size), 1)
        for other in self._shares:
            if other != self.own:
                mask = masks.expand(self._pair_mask_key(other), settings.size)
                masks.add(total, mask, masks.pair_sign(self.own, other))
        return torch.from_numpy(total)

    def unmask(self, survivors: Collection[int], dropped: Collection[int]) -> dict[int, bytes]:
        """Return this client's share, 33 bytes, of each survivor's self mask and of each dropped client's mask key.

        Raises BothSharesError when both are asked for of one client, in this request or over several; UnexpectedMessageError
        for a client who dealt no shares, or when this one is not among the survivors; AbortedError for too few survivors.
        """
        if self._next < len(_STAGES):
            self._turn("unmask")
        wanted = [(client, SELF_MASK) for client in survivors] + [(client, MASK_KEY) for client in dropped]
        asked = dict(self._revealed)
        for client, kind in wanted:
            if client not in self._shares:
                raise UnexpectedMessageError(client, "shares of it are asked for, but it dealt none")
            if asked.setdefault(client, kind) != kind:
                raise BothSharesError(client, "both its shares are asked for: they would bare its vector")
        if self.own not in survivors:
            raise UnexpectedMessageError(self.own, "it is asked to unmask a sum that does not hold its own vector")
        self._enough(len(set(survivors)), "sent a masked vector")
        self._revealed = asked
        return {client: self._shares[client][kind] for client, kind in wanted}

    def _turn(self, stage: str) -> None:
        expected = _STAGES[self._next] if self._next < len(_STAGES) else "nothing more"
        if stage != expected:
            raise UnexpectedMessageError(self.own, f"was asked to {stage}, when {expected} comes next")
        self._next += 1

    def _enough(self, count: int, what: str) -> None:
        if count < self.settings.threshold:
            raise AbortedError(f"client {self.own}: only {count} clients {what}, of {self.settings.threshold} needed")

    def _check_keys(self, keys: Mapping[int, bytes]) -> None:
        seen: dict[bytes, int] = {}
        for client, message in sorted(keys.items()):
            if client not in self.settings.clients:
                raise UnexpectedMessageError(client, "keys of it are handed out, but it is not in the cohort")
            check_length(client, "its keys", message, KEYS_BYTES)
            for key in (message[: crypto.KEY_BYTES], message[crypto.KEY_BYTES :]):
                if key in seen:
                    raise ReplayedKeyError(client, f"one of its keys is also that of client {seen[key]}")
                seen[key] = client
        if keys.get(self.own) != self._advertised:
            raise ReplayedKeyError(self.own, "the keys handed out as its own are not those that it advertised")
        self._enough(len(keys), "advertised keys")

    def _seal_key(self, other: int) -> bytes:
        if other not in self._seal_keys:
            public = self._keys[other][: crypto.KEY_BYTES]
            self._seal_keys[other] = pair_key(self.settings, SEAL, self._seal_private, self.own, public, other)
        return self._seal_keys[other]

    def _pair_mask_key(self, other: int) -> bytes:
        public = self._keys[other][crypto.KEY_BYTES :]
        return pair_key(self.settings, PAIR_MASK, self._mask_private, self.own, public, other)

    def _context(self, sender: int, receiver: int) -> bytes:
        return self.settings.context("shares", sender, receiver)
