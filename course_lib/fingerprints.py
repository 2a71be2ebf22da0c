"""Whatever a run depends on, written down as data: what changes its behaviour changes the data, and so its fingerprint."""

import dis
import inspect
import json
import sys
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path, PurePath
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch

from course_lib.cluster import modules


def fingerprint(value: Any) -> str:
    """Return 16 hexadecimal digits that change with whatever changes the behaviour of `value`. Raises TypeError as `as_data`."""
    return _digest(json.dumps(as_data(value), sort_keys=True).encode())


def as_data(value: Any) -> Any:
    """Return `value` as what JSON can hold; whatever changes the behaviour of `value` changes that too.

    An object counts by its class and its fields, an array by its content. A learner's own function counts by its code and by
    the values that it uses, a learner's own class by its methods and attributes, a learner's own module by what is used of it;
    those of installed packages and of the course count by their names. Raises TypeError for what cannot be written down, such as an open file.
    """
    return _Reader().read(value)


def _digest(content: bytes) -> str:
    return sha256(content).hexdigest()[:16]


class _Reader:
    """Reads one value. What is being read already is not read again: functions may call each other."""

    def __init__(self) -> None:
        self._open: set[int] = set()

    def read(self, value: Any) -> Any:
        if value is None or isinstance(value, bool | int | float | str):
            return value
        if id(value) in self._open:
            return "see above"
        self._open.add(id(value))
        try:
            return self._read_once(value)
        finally:
            self._open.remove(id(value))

    def _read_once(self, value: Any) -> Any:
        if isinstance(value, np.ndarray | np.generic | torch.Tensor):
            return self._array(value)
        if isinstance(value, Mapping):
            return {str(name): self.read(entry) for name, entry in value.items()}
        if isinstance(value, list | tuple | range):
            return [self.read(entry) for entry in value]
        if isinstance(value, set | frozenset):
            return sorted((self.read(entry) for entry in value), key=json.dumps)
        if isinstance(value, bytes):
            return _digest(value)
        if isinstance(value, PurePath):
            return str(value)
        if isinstance(value, ModuleType):
            file = getattr(value, "__file__", None)
            if file is None or not _is_learners(value.__name__):
                return value.__name__
            return [value.__name__, _digest(Path(file).read_bytes())]
        if isinstance(value, partial):
            return {"is": "partial", "of": [self.read(part) for part in (value.func, value.args, value.keywords)]}
        if isinstance(value, MethodType):
            return {"is": "method", "of": [self.read(value.__func__), self.read(value.__self__)]}
        if isinstance(value, type):
            return self._class(value)
        if callable(value) and hasattr(value, "__qualname__"):
            return self._function(_unwrapped(value))
        return self._object(value)

    def _array(self, array: np.ndarray | np.generic | torch.Tensor) -> Any:
        numbers = array.detach().cpu().numpy() if isinstance(array, torch.Tensor) else np.asarray(array)
        if numbers.ndim == 0 or numbers.dtype == object:
            return self.read(numbers.tolist())
        return {"is": f"{numbers.dtype} {numbers.shape}", "content": _digest(np.ascontiguousarray(numbers).tobytes())}

    def _object(self, value: Any) -> Any:
        if is_dataclass(value):
            content = {field.name: getattr(value, field.name) for field in fields(value)}
        elif hasattr(value, "__dict__"):
            content = vars(value)
        else:
            raise TypeError(
                f"{value!r} cannot be written down as data, so nobody could tell when it changes: use a dataclass of numbers and "
                "text; or, if the study's fit uses it, describe what fit does yourself: setting={'model': 'mlp', ...}"
            )
        return {"is": self.read(type(value)), **{name: self.read(entry) for name, entry in content.items()}}

    def _class(self, cls: type) -> Any:
        own = [base for base in cls.__mro__ if _is_own(base)]
        if not own:
            return _name(cls)
        return [_name(cls), *(self._members(base) for base in own)]

    def _members(self, cls: type) -> dict[str, Any]:
        found = {}
        for name, member in vars(cls).items():
            member = _unwrapped(member)
            special = name.startswith("__") and name.endswith("__")
            # Methods that dataclasses write follow from the fields; Python keeps its own books under the other special names.
            if isinstance(member, FunctionType):
                written = special and member.__code__.co_filename == "<string>" and is_dataclass(cls)
                found[name] = None if written else self.read(member)
            elif isinstance(member, property):
                found[name] = [self.read(part) for part in (member.fget, member.fset)]
            elif not special and name != "_abc_impl":
                found[name] = self._attribute(member)
        if is_dataclass(cls):
            made = {field.name: field.default_factory for field in fields(cls) if field.default_factory is not MISSING}
            found["the default values"] = self.read(made)
        return found

    def _attribute(self, value: Any) -> Any:
        """Read what a class holds; of a descriptor or a lock there is nothing to be read but its kind."""
        try:
            return self.read(value)
        except TypeError:
            return _name(type(value))

    def _function(self, function: Any) -> Any:
        if not (isinstance(function, FunctionType) and _is_own(function)):
            return _name(function)
        known = function.__globals__
        used: dict[str, Any] = {name: known[name] for name in sorted(_global_names(function.__code__)) if name in known}
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
            used[name] = cell.cell_contents
        used = {name: self._used_of(value, function.__code__) for name, value in used.items()}
        used["the default values"] = [function.__defaults__, function.__kwdefaults__]
        return {"is": _name(function), "code": self._code(function.__code__), "uses": self.read(used)}

    def _used_of(self, value: Any, code: CodeType) -> Any:
        """Return, of a learner's module, what the code asks it for; of anything else, itself."""
        if not (isinstance(value, ModuleType) and _is_learners(value.__name__)):
            return value
        parts = sorted(_names(code) & vars(value).keys())
        return {part: self._used_of(vars(value)[part], code) for part in parts}

    def _code(self, code: CodeType) -> str:
        constants = [self._constant(constant) for constant in code.co_consts]
        return _digest(json.dumps([code.co_code.hex(), code.co_names, code.co_varnames, constants]).encode())

    def _constant(self, constant: Any) -> Any:
        if isinstance(constant, CodeType):
            return self._code(constant)
        return self.read(constant) if isinstance(constant, frozenset) else repr(constant)


def _names(code: CodeType) -> set[str]:
    """Return the names that code looks up anywhere, functions within it included."""
    nested = [_names(constant) for constant in code.co_consts if isinstance(constant, CodeType)]
    return set(code.co_names).union(*nested)


def _global_names(code: CodeType) -> set[str]:
    """Return the names that code looks up outside itself: `x.shape` does not ask for a `shape`."""
    nested = [_global_names(constant) for constant in code.co_consts if isinstance(constant, CodeType)]
    asked = {"LOAD_GLOBAL", "LOAD_NAME"}
    return {step.argval for step in dis.get_instructions(code) if step.opname in asked}.union(*nested)


def _unwrapped(function: Any) -> Any:
    """Return the function inside wrappers, such as a cache, down to one that the learner wrote."""
    return inspect.unwrap(
        function,
        stop=lambda outer: isinstance(outer, FunctionType) and _is_learners(outer.__globals__.get("__name__", "")),
    )


def _name(thing: Any) -> str:
    return f"{getattr(thing, '__module__', None) or 'builtins'}.{thing.__qualname__}"


def _is_own(thing: Any) -> bool:
    """Return whether a function or a class is the learner's: of a notebook, a script, or a file that is not installed."""
    return _is_learners(getattr(thing, "__module__", None) or "builtins")


def _is_learners(module: str) -> bool:
    package = module.partition(".")[0]
    if module == "__main__":
        return True
    if package == __name__.partition(".")[0] or package in sys.stdlib_module_names:
        return False
    return module not in sys.modules or modules.is_own(module)
