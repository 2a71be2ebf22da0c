"""Numbers, text and tensors as bytes, and back. What is read is only ever data: nothing in it can name a function to be run.

The layout is that of safetensors in spirit: the length of a JSON text, the text, and then the tensors' own bytes one after the other.
"""

import json
from math import prod
from numbers import Integral
from typing import Any

import torch
from torch import Tensor

from course_lib.settings import whole

_LENGTH_BYTES = 8
# How a tensor is marked in the text; no key of a dict may begin like this.
_MARK = "$tensor"


def pack(content: Any) -> bytes:
    """Return dicts (by text), lists, numbers, text, None and tensors of any shape as bytes.

    Tuples come back as lists. Raises TypeError for anything else, and ValueError for a key that begins with `$tensor`.
    """
    tensors: list[Tensor] = []
    described = _described(content, tensors)
    kinds = [[str(tensor.dtype).removeprefix("torch."), list(tensor.shape)] for tensor in tensors]
    text = json.dumps([described, kinds]).encode()
    return b"".join([len(text).to_bytes(_LENGTH_BYTES, "little"), text, *map(_bytes, tensors)])


def unpack(packed: bytes) -> Any:
    """Return what was packed. Raises ValueError for bytes that `pack` did not make."""
    end = _LENGTH_BYTES + int.from_bytes(packed[:_LENGTH_BYTES], "little")
    try:
        described, kinds = json.loads(packed[_LENGTH_BYTES:end])
        kinds = [(str(name), [whole(side, "side", 0) for side in shape]) for name, shape in kinds]
    except (TypeError, ValueError) as error:
        raise ValueError(f"these {len(packed)} bytes were not packed here: {error}") from error
    tensors = []
    for name, shape in kinds:
        dtype = getattr(torch, name, None)
        if not isinstance(dtype, torch.dtype):
            raise ValueError(f"{name!r} is no type of a tensor")  # noqa: TRY004 - what was read is no argument
        start, end = end, end + prod(shape) * dtype.itemsize
        if len(part := packed[start:end]) < end - start:
            raise ValueError(f"a tensor of {end - start} bytes has only {len(part)}")
        flat = torch.frombuffer(bytearray(part), dtype=dtype) if part else torch.empty(0, dtype=dtype)
        tensors.append(flat.reshape(shape))
    if end != len(packed):
        raise ValueError(f"{len(packed) - end} bytes follow behind the last tensor")
    return _restored(described, tensors)


def _described(value: Any, tensors: list[Tensor]) -> Any:
    """Return `value` as JSON has it; tensors are put into `tensors`, and their place is marked."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Integral):  # such as numpy's
        return int(value)
    if isinstance(value, Tensor):
        if value.layout != torch.strided:
            raise TypeError(f"a tensor of layout {value.layout} has no bytes in a row: store tensor.to_dense()")
        tensors.append(value)
        return {_MARK: len(tensors) - 1}
    if isinstance(value, list | tuple):
        return [_described(entry, tensors) for entry in value]
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                raise TypeError(f"a dict has the key {key!r}: only text can be a key, such as {str(key)!r}")
            if key.startswith(_MARK):
                raise ValueError(f"a dict has the key {key!r}, which marks tensors: take another name")
        return {key: _described(entry, tensors) for key, entry in value.items()}
    raise TypeError(
        f"{value!r} is a {type(value).__name__}: only numbers, text, None, lists, dicts and tensors can be stored"
    )


def _restored(value: Any, tensors: list[Tensor]) -> Any:
    if isinstance(value, list):
        return [_restored(entry, tensors) for entry in value]
    if isinstance(value, dict):
        if _MARK in value:
            return tensors[whole(value[_MARK], "tensor", 0, len(tensors) - 1)]
        return {key: _restored(entry, tensors) for key, entry in value.items()}
    return value


def _bytes(tensor: Tensor) -> bytes:
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
