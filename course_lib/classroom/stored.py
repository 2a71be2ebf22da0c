"""The results of long studies, which lessons look up."""

import json
from importlib.resources import files
from typing import Any


def stored(name: str) -> dict[str, Any]:
    """Return a stored study, such as "skew": what its benchmark measured, with the command that measures it again.

    Raises ValueError, naming what there is, for another name.
    """
    folder = files("course_lib.classroom").joinpath("studies")
    names = sorted(one.name.removesuffix(".json") for one in folder.iterdir() if one.name.endswith(".json"))
    if name not in names:
        raise ValueError(f"there is no stored study {name!r}; there are: {', '.join(names)}")
    study: dict[str, Any] = json.loads(folder.joinpath(f"{name}.json").read_text(encoding="utf-8"))
    return study
