"""The header that travels before every message of a Channel: what follows, from whom, to whom."""

import struct
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

HEADER_BYTES = 256  # of every message, on top of its payload; not counted as traffic
PACKET_BYTES = 4096  # what is sent first: the header, and behind it a payload that fits in, which saves a second trip
ROOM = PACKET_BYTES - HEADER_BYTES
TAG = 7_310  # keeps a channel's messages apart from a learner's own send and recv
_MAX_DIMENSIONS = 8
_FIXED = struct.Struct("<BBBBBxxx8q")  # lengths of kind, sender and receiver; dtype; dimensions; shape
_TEXT_BYTES = HEADER_BYTES - _FIXED.size
_DTYPES = (
    torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int8, torch.int16, torch.int32, torch.int64,
    torch.uint8, torch.bool, torch.complex64, torch.complex128,
)  # fmt: skip


class Envelope(NamedTuple):
    """What a receiver has to know about a message."""

    kind: str
    sender: str
    receiver: str
    dtype: torch.dtype
    shape: tuple[int, ...]


@lru_cache(maxsize=4096)
def seal(envelope: Envelope) -> Tensor:
    """Return the packet with the header in front, to be sent and not to be changed: equal messages share it. Raises ValueError for a tensor or for names that do not fit in."""
    if envelope.dtype not in _DTYPES:
        raise ValueError(f"a channel cannot send {envelope.dtype}: convert the tensor, for example with .float()")
    if len(envelope.shape) > _MAX_DIMENSIONS:
        raise ValueError(f"a channel sends at most {_MAX_DIMENSIONS} dimensions, not {len(envelope.shape)}: reshape")
    texts = [text.encode() for text in (envelope.kind, envelope.sender, envelope.receiver)]
    if sum(map(len, texts)) > _TEXT_BYTES:
        raise ValueError(
            f"kind {envelope.kind!r}, sender {envelope.sender!r} and receiver {envelope.receiver!r} take more than "
            f"{_TEXT_BYTES} bytes together: use shorter names"
        )
    shape = envelope.shape + (0,) * (_MAX_DIMENSIONS - len(envelope.shape))
    fixed = _FIXED.pack(*map(len, texts), _DTYPES.index(envelope.dtype), len(envelope.shape), *shape)
    header = (fixed + b"".join(texts)).ljust(PACKET_BYTES, b"\0")
    return torch.frombuffer(bytearray(header), dtype=torch.uint8)


@lru_cache(maxsize=4096)
def unseal(header: bytes) -> Envelope:
    """Return what a header says."""
    *lengths, dtype, dimensions = _FIXED.unpack_from(header)[:5]
    shape = _FIXED.unpack_from(header)[5 : 5 + dimensions]
    texts, start = [], _FIXED.size
    for length in lengths:
        texts.append(header[start : start + length].decode())
        start += length
    return Envelope(texts[0], texts[1], texts[2], _DTYPES[dtype], shape)
