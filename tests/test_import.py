"""Importing the course is quick, and brings in no package that only some of it needs."""

import json
import subprocess
import sys

import pytest

HEAVY = ("flwr", "IPython", "ipywidgets", "matplotlib", "mlxtend", "opacus", "pandas", "ray", "scipy", "sklearn")


def in_a_fresh_interpreter(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    return done.stdout.strip().splitlines()[-1]


@pytest.mark.slow
def test_importing_everything_that_trains_brings_in_no_heavy_package() -> None:
    found = in_a_fresh_interpreter(
        "import sys, json, course_lib\n"
        "from course_lib import aggregation, classroom, cluster, data, learning, models, plans, rounds\n"
        f"print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))"
    )
    assert json.loads(found) == []


@pytest.mark.slow
def test_the_course_costs_at_most_four_tenths_of_what_torch_costs() -> None:
    code = (
        "import time, torch\n"
        "before = time.process_time()\n"
        "import course_lib\n"
        "from course_lib import data, models, plans, rounds\n"
        "print((time.process_time() - before) / before)"
    )
    # A fourth, on a machine of any speed; the best of a few, because what is read for the first time takes longer.
    assert min(float(in_a_fresh_interpreter(code)) for _ in range(5)) <= 0.4


def test_a_part_that_does_not_exist_is_named_with_those_that_do() -> None:
    code = "import course_lib\ntry:\n    course_lib.dta\nexcept AttributeError as error:\n    print(error)"
    assert "'dta'" in (message := in_a_fresh_interpreter(code)) and "data" in message
