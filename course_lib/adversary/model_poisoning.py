"""Poison in the update: turned round, blown up, or moved just so far that nobody notices."""

from dataclasses import dataclass
from statistics import NormalDist

from torch import Tensor

from course_lib.adversary.setting import Setting
from course_lib.aggregation import weighted_mean


@dataclass(frozen=True)
class SignFlip:
    """Each attacker sends -scale times its honest update (Li et al. 2019, arXiv 1811.03761)."""

    scale: float = 1.0

    def __post_init__(self) -> None:
        _refuse("scale", self.scale)

    def craft(self, honest: Tensor, setting: Setting) -> Tensor:
        """Return the updates turned round, `(f, m)`."""
        return -self.scale * honest


@dataclass(frozen=True)
class ModelReplacement:
    """Each attacker sends `boost` times its update (Bagdasaryan et al. 2020, arXiv 1807.00459, equation 3).

    None stands for n / f: where the others' updates cancel, the mean is then what the attackers trained, for example a
    model with a back door. The paper's boost is n / eta for one attacker and a server's rate eta. 1 changes nothing.
    """

    boost: float | None = None

    def __post_init__(self) -> None:
        if self.boost is not None:
            _refuse("boost", self.boost)

    def craft(self, honest: Tensor, setting: Setting) -> Tensor:
        """Return the updates `(f, m)`, longer."""
        return (setting.n / setting.f if self.boost is None else self.boost) * honest


@dataclass(frozen=True)
class ALIE:
    """A little is enough: mean - z x standard deviation of each coordinate (Baruch et al. 2019, arXiv 1902.06156).

    `z` is as large as it may be while enough honest clients lie further out than the attackers, so that a majority
    seems to side with them: the normal quantile of (n - f - s) / (n - f), where s = floor(n / 2 + 1) - f honest
    supporters are wanted. A number overrides it. Raises ValueError where the attackers alone are a majority (s <= 0).
    """

    z: float | None = None

    def craft(self, honest: Tensor, setting: Setting) -> Tensor:
        """Return the same vector for all attackers, `(f, m)`; the variance seen is divided by the number seen."""
        seen = setting.seen(honest)
        mean, deviation = _mean(seen), seen.var(0, correction=0).sqrt()
        z = largest_z(setting.n, setting.f) if self.z is None else self.z
        return (mean - z * deviation).repeat(len(honest), 1)


def largest_z(n: int, f: int) -> float:
    """Return ALIE's z for `f` attackers among `n` clients. One alone among an even number has none to side with: 0."""
    supporters = n // 2 + 1 - f
    if supporters <= 0:
        raise ValueError(f"f={f} of n={n} are a majority: no z bounds what they can do, set it yourself")
    return max(0.0, NormalDist().inv_cdf((n - f - supporters) / (n - f))) if n - f > supporters else 0.0


@dataclass(frozen=True)
class IPM:
    """Inner product manipulation: all send -epsilon times the mean (Xie et al. 2020, arXiv 1903.03936).

    The mean of the round then points less far ahead, or back where epsilon > (n - f) / f; a small one looks honest to
    Krum.
    """

    epsilon: float = 0.5

    def __post_init__(self) -> None:
        _refuse("epsilon", self.epsilon)

    def craft(self, honest: Tensor, setting: Setting) -> Tensor:
        """Return the same vector for all attackers, `(f, m)`."""
        return (-self.epsilon * _mean(setting.seen(honest))).repeat(len(honest), 1)


def _mean(updates: Tensor) -> Tensor:
    return weighted_mean(updates, [1.0] * len(updates))


def _refuse(name: str, value: float) -> None:
    if not value > 0:
        raise ValueError(f"{name}={value} must be above 0; no attack is an empty tuple of clients")
