"""Distributed machine learning against federated learning, measured.

Start with `data.load`, `data.partitions`, a model from `models`, a plan from `plans` and `rounds.fit`.
"""

import importlib
import sys
from types import ModuleType

__version__ = "0.1.0"

_MODULES = (
    "adversary", "aggregation", "classroom", "cluster", "compression", "data", "distributed", "doctor", "federated", "learning",
    "models", "plans", "privacy", "rounds", "study", "topology",
)  # fmt: skip


if sys.platform == "win32":
    from course_lib import windows

    windows.refuse()


def __getattr__(name: str) -> ModuleType:
    # Imported on first use, so that `import course_lib` stays quick and pulls in no plotting or notebook package.
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"course_lib has no part {name!r}; it has: {', '.join(_MODULES)}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_MODULES])
