"""How values travel between the notebook and its workers: pickled by value, over pipes."""

import io
import pickle
import sys
from typing import Any

import cloudpickle
import torch
from torch import Tensor

LOOPBACK_INTERFACE = "lo0" if sys.platform == "darwin" else "lo"


class _Pickler(cloudpickle.Pickler):
    """cloudpickle, but a tensor is sent as the numbers it shows and nothing else.

    torch would send the whole storage that a view looks into: a client's slice of a pooled data set would carry every
    other client's examples along.
    """

    def reducer_override(self, obj: Any) -> Any:
        if type(obj) is Tensor and _is_plain(obj):
            flat = obj.contiguous().reshape(-1).view(torch.uint8).numpy()
            return _tensor, (flat, obj.dtype, tuple(obj.shape))
        return super().reducer_override(obj)


def _is_plain(tensor: Tensor) -> bool:
    on_host = tensor.device.type == "cpu" and tensor.layout is torch.strided
    return on_host and not (tensor.requires_grad or tensor.is_quantized or tensor.is_conj() or tensor.is_neg())


def _tensor(flat: Any, dtype: torch.dtype, shape: tuple[int, ...]) -> Tensor:
    return torch.from_numpy(flat).view(dtype).reshape(shape)


def dumps(value: Any) -> memoryview:
    """Return `value` as bytes. Raises whatever its pickling raises."""
    buffer = io.BytesIO()
    _Pickler(buffer, protocol=pickle.HIGHEST_PROTOCOL).dump(value)
    return buffer.getbuffer()


def loads(data: bytes) -> Any:
    """Return the value that `dumps` packed."""
    return pickle.loads(data)
