"""Whether a back door opens, beside what chance would do."""

from dataclasses import dataclass

from torch import Tensor, nn

from course_lib.adversary.data_poisoning import Backdoor
from course_lib.data import Dataset
from course_lib.learning.evaluation import scores


@dataclass(frozen=True)
class Success:
    """The `share` (0 to 1) of marked images taken for the target, and of the same unmarked: `chance`."""

    share: float
    chance: float
    images: int


def attack_success(model: nn.Module, backdoor: Backdoor, test: Dataset) -> Success:
    """Return how often `model` takes marked images for the target, and how often the same ones without the mark.

    Images of the target class are left out: they would count as success without any attack. A model that was never
    attacked, asked the same, says what the mark alone does. Raises ValueError where no image is left.
    """
    plain, marked = backdoor.others(test), backdoor.triggered(test)
    if not len(plain):
        raise ValueError(
            f"all {len(test)} examples show class {backdoor.target}, the target: take a test set with others"
        )
    return Success(_share(model, marked.x, backdoor.target), _share(model, plain.x, backdoor.target), len(plain))


def _share(model: nn.Module, x: Tensor, target: int) -> float:
    return (scores(model, x).argmax(1) == target).double().mean().item()
