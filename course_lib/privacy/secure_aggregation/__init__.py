"""Secure aggregation: a server learns the sum of its clients' vectors and no single one of them.

The protocol of Bonawitz et al. 2017 (CCS; eprint 2017/281, figure 4), in its form for a server that is curious but keeps to
the rules. `secure_sum` runs all of it; `Client` and `Server` are its two halves.

    advertise   each client sends two public keys; the server hands all of them to everybody
    share       each deals its mask key and the seed of its self mask, in sealed shares, to all; the server passes them on
    mask        each sends its vector, rounded to whole numbers, plus masks that cancel in the sum, plus its self mask
    unmask      each reveals a share of the self mask of every survivor, and of the mask key of everybody who dropped out

What it does NOT protect:
- **from a server that breaks the rules.** It could invent clients, hand out keys of its own, or tell clients different lists
  of survivors. Against that the paper has a further round, in which clients sign and compare the list, and keys signed by
  somebody whom all trust. Neither is here. A client does refuse to reveal both shares of another, and the threshold is above half.
- **what the sum says.** A sum over few clients says much about each, and where all but one of them talk, the sum gives the
  last one away. So do two sums over cohorts that differ by one client. That takes noise: differential privacy.
- **from clients and server together**, where as many collude as the threshold.
- **from hostile clients.** One that sends a poisoned vector cannot be seen, nor left out by a robust rule: nobody may look
  at single vectors. A client that rounds to numbers beyond what was agreed on can spoil the sum.
- **who took part, when, and how large the model is.** Weights, and how many values were cut off, travel hidden behind the values.

What is added to the paper: each dealt share comes with a SHA-256 commitment, so that a wrong one is refused by its sender's name.
The code is for teaching. It was not reviewed by cryptographers, and Python leaves secrets in memory.
"""

from course_lib.privacy.secure_aggregation.client import Client
from course_lib.privacy.secure_aggregation.crypto import insecure_source
from course_lib.privacy.secure_aggregation.errors import (
    AbortedError,
    BothSharesError,
    RefusedError,
    ReplayedKeyError,
    UnexpectedMessageError,
    WrongLengthError,
    WrongShareError,
)
from course_lib.privacy.secure_aggregation.field import MODULUS, Quantiser
from course_lib.privacy.secure_aggregation.protocol import STAGES, SecureSum, secure_sum
from course_lib.privacy.secure_aggregation.server import Server
from course_lib.privacy.secure_aggregation.settings import Settings, usual_threshold

__all__ = [
    "MODULUS", "STAGES", "AbortedError", "BothSharesError", "Client", "Quantiser", "RefusedError", "ReplayedKeyError",
    "SecureSum", "Server", "Settings", "UnexpectedMessageError", "WrongLengthError", "WrongShareError",
    "insecure_source", "secure_sum", "usual_threshold",
]  # fmt: skip
