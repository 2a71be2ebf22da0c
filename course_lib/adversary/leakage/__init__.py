"""Attacks that read images out of gradients and updates: what an observer makes of one client's message.

| attack | what it needs to know |
|---|---|
| `from_linear`, `agreeing` | that the model begins with a linear layer that has a bias |
| `label`, `labels` | that it ends with one, and how many images there were |
| `dlg` | the model, its weights, how many images and steps; with `labels` it is iDLG |
| `invert` | the same, and the labels |

All begin with `captured`: a message as it was on the wire. None is shown the image: restarts are chosen by how well they explain
the message. `similarity` then compares with the truth, which is our privilege and not the attacker's.
"""

from course_lib.adversary.leakage.defences import ClipAndNoise
from course_lib.adversary.leakage.labels import label, labels, last_bias
from course_lib.adversary.leakage.linear import agreeing, first_layer, from_linear, surest
from course_lib.adversary.leakage.matching import Reconstruction, dlg, invert
from course_lib.adversary.leakage.similarity import paired, psnr, ssim
from course_lib.adversary.leakage.victim import Victim
from course_lib.adversary.leakage.wire import captured, received

__all__ = [
    "ClipAndNoise", "Reconstruction", "Victim", "agreeing", "captured", "dlg", "first_layer", "from_linear", "invert", "label",
    "labels", "last_bias", "paired", "psnr", "received", "ssim", "surest",
]  # fmt: skip
