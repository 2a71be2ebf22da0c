"""What a server reads out of one client's message, by setting: the study behind lesson 11.

    python benchmarks/leakage.py            everything: about four minutes on one core
    python benchmarks/leakage.py --quick    one image, two seeds; stores nothing

Two clients, mnist5k, an untrained 2NN, one round; a seed draws images, weights and order. The message of client 1 is captured as it
was on the wire, and two attacks read it: division (of the first layer's gradients; for several images, what two rows agree on) and
search (inverting gradients, 300 iterations, labels from the last layer's bias). Where division finds fewer images than there are,
the rest are guessed: the mean training image, which needs no message. PSNR is cut off at 60 dB, and images are paired with the true ones.

Nothing is tuned: the attacks' settings are the defaults, so a stronger attack may read what these did not. The second part is what
each defence costs in accuracy: FedAvg, ten rounds, 20 clients, one learning rate for all.

All goes to course_lib/classroom/studies/leakage.json. The last line is JSON: by setting, the mean PSNR of both attacks.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from course_lib import data, learning, models, plans, rounds
from course_lib.adversary import leakage
from course_lib.classroom.progress import track
from course_lib.compression import Quantise, TopK
from course_lib.data import Dataset
from course_lib.models import ModelSpec
from course_lib.plans import Plan
from course_lib.privacy.in_plans import SecureAggregation

STORED = Path(rounds.__file__).parents[1] / "classroom/studies/leakage.json"
SEEDS = tuple(range(6))
CAP = 60.0
TWO_NN = models.mlp()


@dataclass(frozen=True)
class Setting:
    """A plan, how many images a client holds, the model, whether to search, and whether only the sum of `clients` is seen."""

    plan: Plan
    images: int = 1
    model: ModelSpec = TWO_NN
    search: bool = True
    clients: int = 2
    sum_only: bool = False
    restarts: int = 1


def smooth_lenet() -> ModelSpec:
    """LeNet-5 with tanh and mean pooling, as in 1998: the same layers, but each pixel counts a little everywhere."""

    def make(shape: tuple[int, ...], classes: int) -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(1, 6, 5, padding=2), nn.Tanh(), nn.AvgPool2d(2), nn.Conv2d(6, 16, 5), nn.Tanh(), nn.AvgPool2d(2),
            nn.Flatten(), nn.Linear(400, 120), nn.Tanh(), nn.Linear(120, 84), nn.Tanh(), nn.Linear(84, classes),
        )  # fmt: skip

    return ModelSpec("smooth lenet", make)


def one_pass(epochs: int = 1, **changes: Any) -> Plan:
    """FedAvg of one round, each epoch a single step over all of a client's images."""
    return plans.fedavg(1, 1.0, epochs, batch_size=None).but(**changes)


MASKED = SecureAggregation(bound=1.0, insecure_seed=11)
GRADIENT = plans.fedsgd(1)
CLIP = 0.3  # about the length of one step's update on one image
SETTINGS = {
    **{f"images {n}": Setting(GRADIENT, n) for n in (1, 2, 4, 8, 16, 32, 64)},
    **{f"steps {n}": Setting(one_pass(n), search=n <= 10) for n in (1, 2, 5, 10, 50)},
    "8 images, 5 epochs": Setting(one_pass(5), 8, restarts=2),
    "8 bits": Setting(GRADIENT.but(compression=Quantise())),
    "top 10%": Setting(GRADIENT.but(compression=TopK(0.1))),
    "top 1%": Setting(GRADIENT.but(compression=TopK(0.01))),
    "top 0.1%": Setting(GRADIENT.but(compression=TopK(0.001))),
    **{f"noise {n:g}": Setting(one_pass(strategy=leakage.ClipAndNoise(CLIP, n))) for n in (0.1, 0.3, 1, 3, 10, 30)},
    "secure aggregation": Setting(one_pass(secure_aggregation=MASKED)),
    **{
        f"the sum of {n}": Setting(one_pass(secure_aggregation=MASKED), clients=n, sum_only=True) for n in (2, 10, 50)
    },
    "LeNet": Setting(GRADIENT, model=models.lenet(), restarts=2),
    "LeNet, tanh and mean pooling": Setting(GRADIENT, model=smooth_lenet(), restarts=2),
}  # fmt: skip


def attacked(setting: Setting, seed: int, train: Dataset) -> dict[str, Any]:
    """Return what both attacks read out of one captured message, judged against the images behind it."""
    dealt = np.random.default_rng([11, seed]).permutation(len(train))[: setting.clients * setting.images]
    owners = np.split(dealt, setting.clients)
    run = rounds.fit(setting.model, train, owners, setting.plan, seed=seed, keep_payloads=True)
    victim = leakage.Victim.of(run, 1, train.shape)
    truth = train.subset(dealt if setting.sum_only else owners[1])
    if setting.sum_only:
        # With equally many images each, the mean update of one step is the update of a single client that holds them all.
        message = torch.nn.utils.parameters_to_vector(run.model.parameters()).detach() - victim.theta
    else:
        message = leakage.captured(run, 1)
    gradient = victim.gradient(message, len(truth))
    guess = train.x.mean(0)
    found: dict[str, Any] = {"guess": judged(guess.expand(len(truth), *train.shape), truth.x)}
    if setting.model.name == "mlp":
        quotients = leakage.from_linear(*leakage.first_layer(run.model, gradient))
        sure = leakage.surest(quotients)[None] if len(truth) == 1 else leakage.agreeing(quotients)
        read = sure.reshape(-1, *train.shape).clamp(0, 1)
        missing = max(0, len(truth) - len(read))
        found["division"] = judged(torch.cat([read, guess.expand(missing, *train.shape)]), truth.x)
        found["division"]["found"] = len(read)
    labels = leakage.labels(leakage.last_bias(run.model, gradient), len(truth))
    found["labels right"] = overlap(labels, truth.y) / len(truth)
    if setting.search:
        best = leakage.invert(victim, message, labels, restarts=setting.restarts, seed=seed)
        found["search"] = judged(best.images, truth.x) | {"loss": round(best.loss, 6)}
        each = [judged(images, truth.x)["psnr"] for _, images in best.tried]
        found["search"]["failed restarts"] = sum(psnr < found["guess"]["psnr"] + 3 for psnr in each)
    return found


def judged(images: Tensor, truth: Tensor) -> dict[str, Any]:
    """Return PSNR (dB, cut off at `CAP`) and SSIM, means over the images once they are paired with the true ones."""
    pairs = list(zip(leakage.paired(images, truth), truth, strict=True))
    psnr = [min(CAP, leakage.psnr(own, true)) for own, true in pairs]
    return {
        "psnr": round(float(np.mean(psnr)), 2),
        "ssim": round(float(np.mean([leakage.ssim(own, true) for own, true in pairs])), 3),
    }


def overlap(guessed: Tensor, labels: Tensor) -> int:
    """Return how many of the labels were guessed, in whatever order."""
    counts = [torch.bincount(some, minlength=10) for some in (guessed, labels)]
    return int(torch.minimum(*counts).sum())


PRICED = {
    "no defence": {},
    "8 bits": {"compression": Quantise()},
    "top 1%": {"compression": TopK(0.01)},
    **{f"noise {n:g}": {"strategy": leakage.ClipAndNoise(1.0, n)} for n in (1, 3, 10, 30)},
    "secure aggregation": {"secure_aggregation": MASKED},
}  # fmt: skip


def priced(changes: Mapping[str, Any], seed: int) -> dict[str, float]:
    """Return the accuracy after ten rounds, and what a client sends in one."""
    train, test = data.load("mnist5k", seed=seed)
    plan = plans.fedavg(10, 1.0, 1, batch_size=10).but(**changes)
    run = rounds.fit(models.mlp(), train, data.partitions.iid(train.y, 20, seed=seed), plan, test=test, seed=seed)
    return {"accuracy": round(run.accuracy, 4), "bytes": int(run.history["bytes_up"].iloc[-1]) // 200}


def measured(
    settings: Mapping[str, Setting], seeds: Sequence[int], prices: Mapping[str, Any] = PRICED
) -> dict[str, Any]:
    """Return the whole study: each setting's attacks, seed by seed, what each defence costs, and the conditions."""
    train, _ = data.load("mnist5k")
    return {
        "command": f"python benchmarks/{Path(__file__).name}",
        "versions": {"torch": torch.__version__},
        "data": "mnist5k, images drawn by the seed from the 4000 training images",
        "seeds": list(seeds), "cap": CAP,
        "attacks": [
            {"setting": name, "images": setting.images, "runs": [attacked(setting, seed, train) for seed in seeds]}
            for name, setting in track(list(settings.items()), "Attacks")
        ],
        "prices": [
            {"setting": name, "runs": [priced(changes, seed) for seed in seeds]}
            for name, changes in track(list(prices.items()), "Prices")
        ],
    }  # fmt: skip


def line(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return the last line: by setting, the mean PSNR in dB of each attack and of a guess, over all seeds."""
    table: dict[str, Any] = {}
    for row in found["attacks"]:
        table[row["setting"]] = {
            attack: round(learning.interval([run[attack]["psnr"] for run in row["runs"]]).mean, 1)
            for attack in ("guess", "division", "search") if attack in row["runs"][0]
        }  # fmt: skip
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one image, two seeds; nothing is stored")
    if parser.parse_args().quick:
        found = measured({"images 1": SETTINGS["images 1"]}, SEEDS[:2], {})
    else:
        torch.set_num_threads(1)
        found = measured(SETTINGS, SEEDS)
        STORED.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(line(found)))


if __name__ == "__main__":
    main()
