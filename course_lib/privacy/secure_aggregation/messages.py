"""How long each message is, and how a mapping from clients to bytes is laid out as one."""

import struct
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from course_lib.privacy.secure_aggregation import crypto
from course_lib.privacy.secure_aggregation.errors import WrongLengthError
from course_lib.privacy.secure_aggregation.shamir import SHARE_BYTES

KEYS_BYTES = 2 * crypto.KEY_BYTES  # the public key that seals shares, then the one that makes masks
COMMITMENTS_BYTES = 2 * crypto.DIGEST_BYTES  # to the share of the mask key, then to that of the self mask
DEALT_BYTES = COMMITMENTS_BYTES + crypto.NONCE_BYTES + 2 * SHARE_BYTES + crypto.TAG_BYTES
_ID = struct.Struct("<I")


def check_length(client: int, what: str, message: bytes, length: int) -> None:
    """Raise WrongLengthError, naming the client, unless the message is bytes of this length."""
    if not isinstance(message, bytes):
        raise WrongLengthError(client, f"{what} must be {length} bytes, not a {type(message).__name__}")
    if len(message) != length:
        raise WrongLengthError(client, f"{what} must be {length} bytes long, not {len(message)}")


def pack(by_client: Mapping[int, bytes]) -> Tensor:
    """Return a mapping as one message, uint8 `(k,)`: for each client its id, 4 bytes, and what belongs to it."""
    whole = b"".join(_ID.pack(client) + content for client, content in sorted(by_client.items()))
    return torch.from_numpy(np.frombuffer(whole, np.uint8).copy())


def unpack(message: Tensor, length: int, sender: int) -> dict[int, bytes]:
    """Return the mapping from clients to `length` bytes each. Raises WrongLengthError, naming the sender, where it is none."""
    whole, row = message.numpy().tobytes(), _ID.size + length
    if len(whole) % row:
        raise WrongLengthError(sender, f"a message of {len(whole)} bytes does not hold rows of {row} bytes each")
    starts = range(0, len(whole), row)
    return {_ID.unpack_from(whole, start)[0]: whole[start + _ID.size : start + row] for start in starts}
