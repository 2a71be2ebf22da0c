"""How values travel between the notebook and its workers: pickled by value, over pipes."""

import io
import pickle
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import cloudpickle
import cloudpickle.cloudpickle as by_value
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


class _Returning(pickle.Unpickler):
    """Reads what comes back to the process where a class was typed: the class stays as it is there.

    cloudpickle finds that class again, and would then give it the methods that come along; those see the worker's globals.
    """

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file)
        self._here: set[type] = set()

    def find_class(self, module: str, name: str) -> Any:
        found = super().find_class(module, name)
        if found in (by_value._make_skeleton_class, by_value._make_skeleton_enum):
            return partial(self._class, found)
        return self._fill if found is by_value._class_setstate else found

    def _class(self, make: Callable[..., type], *parts: Any) -> type:
        tracker = parts[-2]  # by which cloudpickle knows a class in all processes
        known = by_value._DYNAMIC_CLASS_TRACKER_BY_ID.get(tracker)
        if known is None:
            return make(*parts)
        self._here.add(known)
        return known

    def _fill(self, cls: type, content: Any) -> type:
        return cls if cls in self._here else by_value._class_setstate(cls, content)


def loads(data: bytes) -> Any:
    """Return the value that `dumps` packed, for a worker: a class arrives as the notebook has it now."""
    return pickle.loads(data)


def loads_back(data: bytes) -> Any:
    """Return the value that a worker packed: a class of the notebook's is the notebook's, untouched."""
    return _Returning(io.BytesIO(data)).load()
