"""Runs share a key exactly when the same things determine them."""

import functools
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from course_lib import models, plans
from course_lib.compression import Quantise, TopK
from course_lib.federated.participation import PHONE, Devices
from course_lib.federated.strategies import FedProx, Strategy
from course_lib.federated.strategy import LocalWork, State
from course_lib.study import identity

PLAN = plans.fedavg(rounds=3)


def key(plan: plans.Plan, seed: int = 0, setting: Any = "digits") -> str:
    return identity.key(plan, seed, setting)


def defined(code: str, name: str = "fit", **known: Any) -> Any:
    """Return what `code` defines, as if typed into a notebook."""
    space = {"__name__": "__main__", **known}
    exec(code, space)
    return space[name]


def test_a_plan_built_again_is_the_same_run() -> None:
    def build() -> plans.Plan:
        return plans.fedavg(rounds=3).but(strategy=FedProx(mu=0.2), fleet=Devices([PHONE] * 3, dropout=0.1))

    assert key(build()) == key(build())


def test_every_change_of_a_plan_is_another_run() -> None:
    changes: list[dict[str, Any]] = [
        {}, {"rounds": 4}, {"learning_rate": 0.10001}, {"strategy": Strategy()}, {"strategy": FedProx(mu=0.1)},
        {"strategy": FedProx(mu=0.2)}, {"compression": Quantise()}, {"compression": TopK(0.5)},
        {"fleet": Devices(dropout=0.1)}, {"fleet": Devices([PHONE])}, {"faults": {0: lambda message, _: message}},
        {"faults": {1: lambda message, _: message}}, {"faults": {0: lambda message, _: -message}},
        {"fleet": Devices(available=lambda client, _: 0.5)}, {"fleet": Devices(available=lambda client, _: 0.6)},
    ]  # fmt: skip
    assert len({key(PLAN.but(**changed)) for changed in changes}) == len(changes)


def test_seed_and_setting_tell_runs_apart() -> None:
    settings = [
        None,
        "digits",
        "mnist5k",
        {"alpha": 0.1},
        {"alpha": 0.2},
        ["digits"],
        models.mlp((8,)),
        models.mlp((9,)),
    ]
    keys = {key(PLAN, seed, setting) for seed in range(3) for setting in settings}
    assert len(keys) == 3 * len(settings)


def test_what_a_learner_s_own_strategy_does_is_part_of_it_and_not_only_its_fields() -> None:
    class Halved(Strategy):
        def client(self, received: Tensor, state: State, work: LocalWork) -> tuple[Tensor, State]:
            return work.train(received) / 2, state

    first = key(PLAN.but(strategy=Halved()))

    class Thirds(Strategy):
        def client(self, received: Tensor, state: State, work: LocalWork) -> tuple[Tensor, State]:
            return work.train(received) / 3, state

    Thirds.__qualname__ = Halved.__qualname__
    assert key(PLAN.but(strategy=Thirds())) != first == key(PLAN.but(strategy=Halved()))


FIT = "def fit(plan, seed):\n    return [train(plan, seed, part) for part in range(PARTS)]\n"


def helper(plan: Any, seed: int, part: int) -> int:
    return part


def other_helper(plan: Any, seed: int, part: int) -> int:
    return -part


def test_a_function_counts_by_its_code_and_by_what_it_uses_even_inside_a_comprehension() -> None:
    first = identity.as_data(defined(FIT, train=helper, PARTS=3))
    assert identity.as_data(defined("# a remark\n" + FIT, train=helper, PARTS=3)) == first
    assert identity.as_data(defined(FIT, train=helper, PARTS=3, unused=1)) == first
    others = [
        defined(FIT, train=helper, PARTS=4), defined(FIT, train=other_helper, PARTS=3),
        defined(FIT.replace("seed, part", "part, seed"), train=helper, PARTS=3),
        defined(FIT.replace("seed)", "seed=1)"), train=helper, PARTS=3),
    ]  # fmt: skip
    assert all(identity.as_data(other) != first for other in others)


def test_what_a_function_closes_over_counts_whatever_it_is() -> None:
    def closing_over(value: Any) -> Callable[[], Any]:
        return lambda: value

    values: list[Any] = [
        1, 1.5, "one", (1, 2), {"a": 1}, {3, 4}, b"one", Path("a"), torch.ones(3), torch.zeros(3), np.zeros(3), np.ones(3),
        models.lenet(), functools.partial(helper, 1), functools.partial(helper, 2), PLAN, torch.nn.Linear(2, 1), np.sum,
        PLAN.but, torch, [np.arange(3), np.arange(4)],
    ]  # fmt: skip
    read = [identity.as_data(closing_over(value)) for value in values]
    assert len({str(one) for one in read}) == len(values)
    assert read == [identity.as_data(closing_over(value)) for value in values]


def test_functions_that_call_each_other_are_read_once() -> None:
    code = "def fit(n): return other(n)\ndef other(n): return fit(n - 1) if n else {}\n"
    assert identity.as_data(defined(code.format(0))) != identity.as_data(defined(code.format(1)))


def test_a_cached_function_counts_as_the_function() -> None:
    code = "import functools\n@functools.cache\ndef fit(): return {}\n"
    assert identity.as_data(defined(code.format(0))) != identity.as_data(defined(code.format(1)))


@dataclass(frozen=True)
class Own:
    """A class outside the library."""

    size: int = 3

    @property
    def half(self) -> float:
        return self.size / 2


@pytest.mark.slow
def test_the_key_is_the_same_in_another_process_whatever_its_hash_seed() -> None:
    code = (
        "from course_lib.study import identity\nfrom course_lib import plans\nfrom tests.study import test_identity as t\n"
        "print(identity.key(t.PLAN, 0, [t.helper, t.key, t.Own(), {'a', 'b', 'c'}, lambda x: x in {'p', 'q', 'r'}]))"
    )
    keys = {
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(Path(__file__).parents[2])},
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert len(keys) == 1 and len(keys.pop().strip()) == 16


def test_what_is_no_data_is_named_with_the_remedy() -> None:
    with pytest.raises(TypeError, match=r"_thread.lock object.*setting="):
        identity.key(PLAN, 0, threading.Lock())
