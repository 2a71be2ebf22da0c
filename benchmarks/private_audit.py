"""Does the private step keep its promise, and what does an attacker gain from a model? The audits behind lesson 12.

    python benchmarks/private_audit.py            everything: about four minutes of one core; goes on where it was stopped
    python benchmarks/private_audit.py --quick    few runs: a check that it runs; stores nothing

Canaries: `ExampleLevel`'s step on 40 small images (digits, logistic regression), at the sample rate, number of steps and noise of the
central runs of private_accuracy.py, in 600 runs. 32 canaries are each in or out of a run by the toss of a coin. A canary is an
image that lights one pixel which nobody else lights, so that its clipped gradient stands alone: each canary of a run counts as a try of
its own (many canaries a run: Steinke et al. 2023, arXiv 2305.08846; their pixels differ, so that here the noise on their scores is
independent). Two auditors score a canary: one sees the gradient of every step and takes the likelihood ratio, one sees only the final
weights. Half of the tries choose the threshold, the other half judge it (`audit.lower_bound`). "null": canaries that were out against
others that were out.

Membership: 32 models of FedAvg, each trained on half of 1,000 images (ten clients of 50; 64 hidden units), for each of three ways:
"plain" (20 rounds of 5 epochs), "private" (`ExampleLevel`, epsilon 8) and "stopped early" (plain, stopped near the private accuracy).
Each model is attacked in turn, with the 31 others as LiRA's shadow models (online, one variance for all). Nothing is tuned.

All goes to course_lib/classroom/studies/private_audit.json. The last line is JSON.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from private_accuracy import EPSILONS, WAYS, text
from torch import Tensor

from course_lib import data, learning, models, plans, rounds
from course_lib.learning import keys
from course_lib.learning.evaluation import scores
from course_lib.learning.sgd import FlatModel
from course_lib.plans import Plan
from course_lib.privacy import membership
from course_lib.privacy.accounting import noise_for, spent
from course_lib.privacy.audit import lower_bound
from course_lib.privacy.example_level import ExampleLevel
from course_lib.privacy.per_example import clipped_sum

STORED = Path(rounds.__file__).parents[1] / "classroom/studies/private_audit.json"
UNFINISHED = STORED.with_suffix(".unfinished")
RUNS, IMAGES, CANARIES, STEPS_A_ROUND = 600, 40, 32, 10
MODELS, MEMBERS_DELTA, SAMPLE_RATE = 32, 0.1 / 500, 0.2
FPRS = [round(float(rate), 5) for rate in np.geomspace(0.002, 1, 28)]


def pictures() -> tuple[Tensor, Tensor]:
    """Return the canaries, then 40 images that leave the canaries' pixels dark."""
    train, _ = data.load("digits")
    x = train.x[:IMAGES].clone()
    x.view(IMAGES, -1)[:, :CANARIES] = 0.0
    canaries = torch.zeros(CANARIES, *train.shape)
    canaries.view(CANARIES, -1).fill_diagonal_(100.0)  # so bright that their gradients are clipped throughout
    return torch.cat([canaries, x]), torch.cat([torch.zeros(CANARIES, dtype=train.y.dtype), train.y[:IMAGES]])


def scored(noise: float, number: int, steps: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return who was in run `number`, bool `(CANARIES,)`, and their scores by every step and by the final weights, each `(CANARIES,)`."""
    x, y = pictures()
    rate, key = WAYS["central"].sample_rate, ("audit", number)
    settings, expected = ExampleLevel(noise, 1.0, rate), rate * IMAGES
    model = FlatModel(models.logistic().build(tuple(x.shape[1:]), 10, seed=0))
    directions = torch.stack([clipped_sum(model, x[k : k + 1], y[k : k + 1], 1.0) for k in range(CANARIES)])
    inside = torch.rand(CANARIES, generator=keys.generator(*key, "inside")) < 0.5
    there = torch.cat([inside, torch.ones(IMAGES, dtype=torch.bool)])
    x, y = x[there], y[there]
    ratio, start, learning_rate = torch.zeros(CANARIES), model.theta.clone(), 1e-4
    for step in range(steps):
        chosen = settings.batch(len(y), step, key)
        gradient = settings.gradient(model, x[chosen], y[chosen], expected, keys.generator(*key, "noise", step))
        model.theta.add_(gradient, alpha=-learning_rate)
        seen = directions @ gradient * expected  # a canary moves its own by 1, the noise has deviation `noise`
        ratio += torch.log(1 - rate + rate * torch.exp((2 * seen - 1) / (2 * noise**2)))
    return inside, ratio, directions @ (start - model.theta) * expected / learning_rate


def audit(epsilon: float, runs: int) -> dict[str, Any]:
    """Return what the auditors prove of one setting, beside what the accountant claims."""
    way = WAYS["central"]
    noise = noise_for(epsilon, way.sample_rate, way.steps, way.delta)
    inside, *seen_by = map(torch.cat, zip(*(scored(noise, number, way.steps) for number in range(runs)), strict=True))
    found: dict[str, Any] = {
        "epsilon": epsilon, "noise_multiplier": noise, "tries": len(inside), "confidence": 0.95,
        "claimed": round(spent(noise, way.sample_rate, way.steps, way.delta).epsilon, 3),
        "claimed for one round": round(spent(noise, way.sample_rate, STEPS_A_ROUND, way.delta).epsilon, 3),
    }  # fmt: skip
    for name, scores_of in zip(("every step", "final weights"), seen_by, strict=True):
        bound = lower_bound(scores_of[inside], scores_of[~inside], way.delta)
        found[name] = {
            "lower bound": round(bound.epsilon, 3), "found": bound.true_positives, "false alarms": bound.false_positives,
        }  # fmt: skip
    outside = seen_by[0][~inside]
    found["null"] = round(lower_bound(outside[::2], outside[1::2], way.delta).epsilon, 3)
    print(found, flush=True)
    return found


def member_plans() -> dict[str, Plan]:
    """Return the three ways to train that are attacked."""
    noise = noise_for(8.0, SAMPLE_RATE, 100, MEMBERS_DELTA)
    plain = plans.fedavg(20, 1.0, epochs=5, batch_size=10, learning_rate=0.1)
    private = plain.but(local_epochs=1, learning_rate=1.0, privacy=ExampleLevel(noise, 0.5, SAMPLE_RATE))
    return {"plain": plain, "private": private, "stopped early": plain.but(rounds=2, local_epochs=2)}


def membership_of(plan: Plan, count: int) -> dict[str, Any]:
    """Return how well both attacks do on `count` models: AUC and found at 1% false alarms of each, and the mean ROC of LiRA."""
    train, others = data.load("mnist5k", test_fraction=0.8)
    test, _ = data.hold_out(others, 0.5)
    inside = membership.deal(len(train), count, seed=0)
    fitted, accuracy = [], []
    for number, members in enumerate(inside):
        parts = [members.nonzero().squeeze(1)[client::10].numpy() for client in range(10)]
        run = rounds.fit(models.mlp((64,)), train, parts, plan, test=test, seed=number, evaluate_every=plan.rounds)
        accuracy.append(round(run.accuracy, 4))
        fitted.append(membership.confidences(scores(run.model, train.x), train.y))
    all_fitted = torch.stack(fitted)
    found: dict[str, Any] = {"accuracy": accuracy}
    for attack in ("LiRA", "loss threshold"):
        aucs, at_one, curves = [], [], []
        for number in range(count):
            rest = [other for other in range(count) if other != number]
            values = all_fitted[number]
            if attack == "LiRA":
                values = membership.lira(values, all_fitted[rest], inside[rest], fixed_variance=True)
            members, strangers = values[inside[number]], values[~inside[number]]
            curve = membership.roc(members, strangers)
            aucs.append(round(membership.auc(members, strangers).mean, 4))
            at_one.append(membership.tpr_at(curve, 0.01))
            curves.append([membership.tpr_at(curve, rate) for rate in FPRS])
        mean = [round(float(value), 4) for value in np.mean(curves, 0)]
        found[attack] = {"auc": aucs, "found at 1%": at_one, "roc": mean}
    if plan.privacy:
        found["guarantee"] = str(run.guarantee)
    return found


def line(found: dict[str, Any]) -> dict[str, Any]:
    """Return the last line."""
    bounds = {str(one["epsilon"]): [one["every step"]["lower bound"], one["claimed"]] for one in found["audits"]}
    aucs = {
        name: round(learning.interval(one["LiRA"]["auc"]).mean, 3) for name, one in found["membership"].items()
    }  # fmt: skip
    return {"lower bound, claimed": bounds, "AUC of LiRA": aucs}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few runs; nothing is stored")
    quick = parser.parse_args().quick
    torch.set_num_threads(1)
    notes: dict[str, Any] = {}
    if UNFINISHED.exists() and not quick:
        notes = json.loads(UNFINISHED.read_text(encoding="utf-8"))

    def once(name: str, measure: Any) -> Any:
        """Measure, or return what is noted."""
        if name not in notes:
            notes[name] = measure()
            if not quick:
                UNFINISHED.write_text(json.dumps(notes), encoding="utf-8")
        return notes[name]

    runs, count = (40, 6) if quick else (RUNS, MODELS)
    attacked = {name: once(name, lambda plan=plan: membership_of(plan, count)) for name, plan in member_plans().items()}
    audits = [
        once(f"epsilon {epsilon}", lambda epsilon=epsilon: audit(epsilon, runs))
        for epsilon in (EPSILONS[:1] if quick else EPSILONS)
    ]
    found = {
        "command": f"python benchmarks/{Path(__file__).name}",
        "versions": {"torch": torch.__version__, "numpy": np.__version__, "opacus": __import__("opacus").__version__},
        "steps": WAYS["central"].steps, "steps a round": STEPS_A_ROUND, "delta": WAYS["central"].delta,
        "false alarms": FPRS, "audits": audits, "membership": attacked,
    }  # fmt: skip
    if not quick:
        STORED.write_text(text(found), encoding="utf-8")
        UNFINISHED.unlink()
    print(json.dumps(line(found)))


if __name__ == "__main__":
    main()
