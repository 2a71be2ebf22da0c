"""Attacks by clients, under one name: `poisoning.Attack(clients=(3, 7), model=poisoning.ALIE())`.

| attack | what it needs to know |
|---|---|
| `LabelFlip`, `Backdoor` | its own data |
| `SignFlip`, `ModelReplacement` | its own update (and n) |
| `ALIE`, `IPM`, `MinMax`, `MinSum` | some honest updates: the colluders' own, or everybody's; no rule |
| `AgainstKrum` | everybody's updates, and that the rule is Krum |
"""

from course_lib.adversary.against_krum import AgainstKrum
from course_lib.adversary.attack import Attack
from course_lib.adversary.data_poisoning import Backdoor, LabelFlip
from course_lib.adversary.furthest import MinMax, MinSum
from course_lib.adversary.model_poisoning import ALIE, IPM, ModelReplacement, SignFlip
from course_lib.adversary.setting import DataPoisoning, ModelPoisoning, Setting
from course_lib.adversary.success import Success, attack_success

__all__ = [
    "ALIE", "IPM", "AgainstKrum", "Attack", "Backdoor", "DataPoisoning", "LabelFlip", "MinMax", "MinSum", "ModelPoisoning",
    "ModelReplacement", "Setting", "SignFlip", "Success", "attack_success",
]  # fmt: skip
