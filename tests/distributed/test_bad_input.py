"""Settings and numbers that make no sense are refused by name, with the value and what to do; legal but unusual ones are right."""

from collections.abc import Callable
from math import inf, nan
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import nn

from course_lib.cluster.traffic import Channel
from course_lib.distributed import cost, failures, halves, memory, packed, pipeline, scaling, tensor_parallel
from course_lib.distributed.adam import Adam
from course_lib.distributed.asynchronous import Asynchronous
from course_lib.distributed.diloco import DiLoCo
from course_lib.distributed.recovery import Checkpoints
from course_lib.distributed.sharded import Sharded

ALONE = cast(Channel, SimpleNamespace(rank=0, world=1))
THREE = cast(Channel, SimpleNamespace(rank=2, world=3))
LAW = scaling.amdahl([1, 2] * 4, [1, 0.6] * 4)
WIRE = scaling.alpha_beta([100, 1_000, 10_000] * 3, [1e-4, 1.1e-4, 2e-4] * 3)
anything: Any = "0.1"


def entered(size: Any) -> None:
    with memory.budget(size):
        pass


def stepped(x: int, y: int, of: Any) -> float:
    return Sharded([nn.Linear(2, 2)], 0, ALONE).step(torch.ones(x, 2), torch.zeros(y, dtype=torch.long), of)


def cut_into(microbatches: Any) -> float:
    stage = pipeline.Stage([nn.Linear(2, 2)], ALONE)
    return stage.step(torch.ones(2, 2), torch.zeros(2, dtype=torch.long), microbatches)


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: Adam([torch.zeros(2)], -1), "learning_rate=-1"),
        (lambda: Adam([torch.zeros(2)], nan), "learning_rate=nan"),
        (lambda: Adam([torch.zeros(2)], anything), "learning_rate='0.1'"),
        (lambda: Adam([torch.zeros(2)]).step([]), "0 gradients for 1 tensors"),
        (lambda: DiLoCo(anything), "outer_rate='0.1'"),
        (lambda: DiLoCo(momentum=anything), "momentum='0.1'"),
        (lambda: Asynchronous(exponent=anything), "exponent='0.1'"),
        (lambda: Asynchronous(order=(0, -1)), r"order\[1\]=-1"),
        (lambda: Asynchronous(order=(anything,)), r"order\[0\]='0.1'"),
        (lambda: failures.young_interval(anything, 1), "save='0.1'"),
        (lambda: cost.Prices(kwh=anything), "kwh='0.1'"),
        (lambda: cost.Prices(kwh=True), "kwh=True"),
        (lambda: cost.Usage(True, -1, 1, 1, 1, 1), "machines=-1"),
        (lambda: cost.Usage(True, 1, nan, 1, 1, 1), "seconds=nan"),
        (lambda: cost.Usage(True, 1, 1, 1, 1, 1, joules=-1), "joules=-1"),
        (lambda: cost.Usage(True, 1, 1, 1, 1, 1).bill().per_point(90), "accuracy=90"),
        (lambda: halves.padded(5, 0), "ranks=0"),
        (lambda: halves.padded(-1, 2), "size=-1"),
        (lambda: pipeline.bubble(0, 1), "stages=0"),
        (lambda: pipeline.bubble(2, 0), "microbatches=0"),
        (lambda: pipeline.gpipe(3, 2, 1), "stage=3 .* at most 1"),
        (lambda: pipeline.one_forward_one_backward(0, 2, 0), "microbatches=0"),
        (lambda: pipeline.stage_layers([nn.ReLU()] * 3, 5, 2), "stage=5"),
        (lambda: pipeline.measured_bubble([[("forward", 1.0, 1.0)]]), "0 seconds long"),
        (lambda: cut_into(1.5), "microbatches=1.5"),
        (lambda: cut_into(3), "cut into 3 microbatches"),
        (lambda: entered(-1), "size=-1"),
        (lambda: entered(nan), "size=nan"),
        (lambda: LAW.speedup(0), "workers=0"),
        (lambda: LAW.speedup(inf), "workers=inf"),
        (lambda: WIRE.seconds(-1), "size=-1"),
        (lambda: WIRE.seconds(nan), "size=nan"),
        (lambda: Sharded([nn.Linear(2, 2)], True, ALONE), "stage=True"),
        (lambda: Sharded([nn.Linear(2, 2)], 0, ALONE, -1), "learning_rate=-1"),
        (lambda: tensor_parallel.columns(nn.Linear(3, 4), THREE), r"shape \(4, 3\) cannot be dealt to 3 workers"),
        (lambda: tensor_parallel.RowParallel(nn.Linear(4, 3), THREE), r"dimension 1 .* cannot be dealt to 3 workers"),
        (lambda: stepped(3, 2, 3), "3 examples with targets for 2"),
        (lambda: stepped(2, 2, nan), "of=nan"),
        (lambda: stepped(2, 2, 1), "of=1"),
        (lambda: Checkpoints("nowhere").save(-1, {}, {}), "done=-1"),
        (lambda: packed.unpack(b""), "0 bytes were not packed here"),
        (lambda: packed.unpack(b"\x04\0\0\0\0\0\0\0null"), "not packed here"),
        (lambda: packed.unpack(packed.pack(torch.ones(3)) + b"xx"), "2 bytes follow"),
        (lambda: packed.unpack(forged({"$tensor": 5}, [])), "tensor=5"),
        (lambda: packed.unpack(forged({"$tensor": 0}, [["float32", [-1]]])), "side=-1"),
    ],
)
def test_what_makes_no_sense_is_refused_with_its_name_and_value(call: Callable[[], Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        call()


def forged(described: Any, kinds: Any) -> bytes:
    import json

    text = json.dumps([described, kinds]).encode()
    return len(text).to_bytes(8, "little") + text


def test_what_would_take_longer_than_a_float_can_say_takes_for_ever() -> None:
    assert failures.expected_seconds(1, 1e6, 1, 1) == inf


def test_numpys_whole_numbers_are_stored_and_a_sparse_tensor_is_refused_with_the_remedy() -> None:
    assert packed.unpack(packed.pack({"round": np.int64(3), "rate": np.float64(0.5)})) == {"round": 3, "rate": 0.5}
    with pytest.raises(TypeError, match="to_dense"):
        packed.pack(torch.eye(2).to_sparse())


def test_a_checkpoint_makes_its_folder(tmp_path: Path) -> None:
    kept = Checkpoints(tmp_path / "new" / "folder")
    kept.save(3, {"plan": "a"}, {"weights": torch.ones(2)})
    assert torch.equal(kept.latest({"plan": "a"})["weights"], torch.ones(2))
