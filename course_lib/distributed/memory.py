"""How many bytes of tensors a process holds, at the worst moment, and a budget that it must keep to."""

import sys
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Self

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode, is_traceable_wrapper_subclass

from course_lib.settings import whole

REST = "activations and the rest"


class TensorMemory(TorchDispatchMode):
    """Counts the bytes of all tensors that live while it is entered, whenever an operation of torch has made one.

    `held()` names the tensors that were there before, or are made later and deserve a name; all others are REST.
    `peak`: the bytes by name when there were most in all; a storage counts once, with its size at that moment. Temporary
    memory inside an operation, and what Python and the allocator need besides, are not counted: see `psutil` for these.
    With a `limit` in bytes, MemoryError is raised when more live.
    """

    def __init__(self, held: Callable[[], Mapping[str, Sequence[Tensor]]], limit: float = float("inf")) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.held, self.limit, self.peak = held, limit, dict[str, int]()
        self._living: dict[int, weakref.ref[torch.UntypedStorage]] = {}

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # or torch would load its compiler, some seconds and 100 MB, only to switch it off

    def __enter__(self) -> Self:
        for tensors in self.held().values():
            for tensor in tensors:
                self._note(tensor)
        self._look()
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        made = result if isinstance(result, tuple | list) else (result,)
        new = [self._note(each) for each in made if isinstance(each, Tensor)]
        if any(new):
            self._look()
        return result

    def _note(self, tensor: Tensor) -> bool:
        """Remember a tensor's memory; return whether it is new: a view's is not."""
        found = False
        for storage in _storages(tensor):
            key = storage._cdata
            if key not in self._living:
                self._living[key] = weakref.ref(storage, partial(self._forget, key))
                found = True
        return found

    def _forget(self, key: int, gone: "weakref.ref[torch.UntypedStorage]") -> None:
        self._living.pop(key, None)  # its address may soon be another's

    def _look(self) -> None:
        storages = [storage for ref in list(self._living.values()) if (storage := ref()) is not None]
        total = sum([storage.nbytes() for storage in storages])
        if total > self.limit:
            raise MemoryError(f"can't allocate memory: tensors of {total:,} bytes, where {self.limit:,} are allowed")
        if total <= sum(self.peak.values()):
            return
        living = {storage._cdata: storage.nbytes() for storage in storages}
        self.peak = {
            name: sum(living.pop(storage._cdata, 0) for tensor in tensors for storage in _storages(tensor))
            for name, tensors in self.held().items()
        }
        self.peak[REST] = sum(living.values())


def _storages(tensor: Tensor) -> list[torch.UntypedStorage]:
    """Return where a tensor's numbers are: for one that is made of others, such as a DTensor, in these."""
    if is_traceable_wrapper_subclass(tensor):
        parts = [getattr(tensor, name) for name in tensor.__tensor_flatten__()[0]]
        return [storage for part in parts if isinstance(part, Tensor) for storage in _storages(part)]
    return [tensor.untyped_storage()]


@contextmanager
def budget(size: int) -> Iterator[None]:
    """Let this process take `size` bytes more than it holds now, and no more, until the block ends.

    On Linux the operating system enforces it (RLIMIT_DATA, all memory of the process's own), and torch raises RuntimeError.
    Elsewhere no such limit works: there the bytes of new tensors are counted, and MemoryError is raised. Both say "can't
    allocate memory". What the process freed before and its C library kept is not counted: where that is much, begin with
    fresh workers, after `cluster.shutdown()`. Raises ValueError for a size that is no whole number of at least 0.
    """
    size = whole(size, "size", 0)
    if not sys.platform.startswith("linux"):
        with TensorMemory(dict, limit=size):
            yield
        return
    import resource

    with open("/proc/self/statm") as statm:
        own = int(statm.read().split()[5]) * resource.getpagesize()
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (own + size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))
