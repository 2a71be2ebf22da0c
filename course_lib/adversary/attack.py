"""Who attacks, with what, and what they know: the stage of a round in which chosen clients turn hostile."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from course_lib.adversary.setting import DataPoisoning, ModelPoisoning, Setting
from course_lib.data import Dataset
from course_lib.learning import keys


@dataclass(frozen=True)
class Attack:
    """`clients` poison their `data`, their `model` updates, or first one and then the other.

    `colludes`: whether those of a round confer; each is otherwise on its own and takes itself for the only one.
    `omniscient`: whether they see the others' updates as well. Without clients, data or model nothing is changed. A
    back door that takes over the model is `Attack((3,), data=Backdoor(target=7), model=ModelReplacement())`.

    Raises ValueError for a client that is named twice or is negative.
    """

    clients: tuple[int, ...] = ()
    data: DataPoisoning | None = None
    model: ModelPoisoning | None = None
    colludes: bool = True
    omniscient: bool = False

    def __post_init__(self) -> None:
        if len(set(self.clients)) != len(self.clients) or min(self.clients, default=0) < 0:
            raise ValueError(f"clients={self.clients} must be different clients, numbered from 0")

    def poison(self, dataset: Dataset, client: int, seed: int) -> Dataset:
        """Return what `client` trains on: for those who do not poison data, the data set itself."""
        if self.data is None or client not in self.clients:
            return dataset
        return self.data.poison(dataset, keys.generator(seed, "poison", client))

    def craft(self, honest: Tensor, setting: Setting) -> Tensor:
        """Return what the round's attackers send `(f, m)` in place of their own updates `honest: (f, m)`.

        Raises ValueError where `honest` has not f rows, or an omniscient attacker is not shown the others' updates.
        """
        if len(honest) != setting.f:
            raise ValueError(f"{len(honest)} updates of attackers, but f={setting.f}: pass one each")
        if self.model is None or not len(honest):
            return honest
        if self.omniscient and setting.benign is None:
            raise ValueError("an omniscient attacker must be shown the others' updates: Setting(benign=...)")
        known = setting if self.omniscient else replace(setting, benign=None)
        if self.colludes:
            return self.model.craft(honest, known)
        return torch.cat([self.model.craft(own[None], _alone(known, honest, row)) for row, own in enumerate(honest)])


def _alone(setting: Setting, honest: Tensor, row: int) -> Setting:
    if setting.benign is None:
        return replace(setting, f=1)
    # Who is on its own takes the other attackers for honest.
    return replace(setting, f=1, benign=torch.cat([setting.benign, honest[:row], honest[row + 1 :]]))
