"""Payments by card over several banks, one in a hundred of them fraud: generated.

Every bank has its own customers: what they buy, how much they spend and when, how far from home. Four kinds of thieves work,
each in a way of its own, and a bank sees mostly two of them: those that it seldom sees it can hardly learn alone.
Honest payments that look odd (a journey, a new telephone, a large purchase) keep anybody from telling all frauds.
"""

import numpy as np
import torch

from course_lib.data.dataset import Dataset

BANKS = 20
CLASSES = ("honest", "fraud")
MERCHANTS = ("groceries", "restaurants", "fuel", "clothes", "electronics", "travel", "games", "gift cards")
# Each with the fixed middle and unit of its scale; then one column a merchant, 0 or 1.
SCALES = {
    "amount": (3.5, 1.2),  # logarithm of euros
    "hour, sine": (0.0, 0.7), "hour, cosine": (0.0, 0.7),  # of the day
    "distance": (1.5, 1.5),  # from home: logarithm of 1 + kilometres
    "payments in the last hour": (0.7, 0.7),  # logarithm of 1 + their number
    "online": (0.5, 0.5), "new device": (0.5, 0.5),  # 0 or 1
    "years with the bank": (1.5, 0.7),  # logarithm of 1 + years
}  # fmt: skip
FIELDS = (*SCALES, *MERCHANTS)
FRAUD = 0.01  # of all payments; a bank has half to twice as much
PATTERNS = ("card testing", "account taken over", "copied card", "gift cards")

_WORLD = 20_260_103  # the same banks under every seed
_SMALLEST, _LARGEST = 400, 2400  # payments of a bank
_FEWEST = 4  # frauds of a bank, or it could not split them into training and test


def banks(seed: int, number: int = BANKS) -> dict[str, Dataset]:
    """Return the payments of each bank: `x: (n, 16)`, the columns of FIELDS; `y: (n,)`, 1 is fraud.

    By default 20 banks with 400 to 2,400 payments each, 22,000 or so in all. Bank 3 is the same bank whatever the number.
    Raises ValueError for fewer than one bank.
    """
    if number < 1:
        raise ValueError(f"number={number} of banks must be at least 1, for example {BANKS}")
    return {f"Bank {index + 1}": _bank(index, seed) for index in range(number)}


def _bank(index: int, seed: int) -> Dataset:
    habits = np.random.default_rng([_WORLD, index])
    chance = np.random.default_rng([seed, _WORLD, index])
    n = round(_SMALLEST * (_LARGEST / _SMALLEST) ** habits.uniform())
    tastes = habits.dirichlet(np.full(len(MERCHANTS), 2.0))
    wealth, radius = habits.normal(0, 0.5), habits.normal(0, 0.4)
    online, evening = habits.uniform(0.1, 0.6), habits.uniform(11, 20)
    kinds = np.full(len(PATTERNS), 0.05)
    kinds[habits.permutation(len(PATTERNS))[:2]] += (0.5, 0.3)
    frauds = max(_FEWEST, round(n * FRAUD * 2 ** habits.uniform(-1, 1)))
    stolen = _stolen(chance, chance.choice(len(PATTERNS), frauds, p=kinds), wealth)
    honest = _honest(chance, n - frauds, tastes, wealth, radius, online, evening)
    x, y = np.concatenate([honest, stolen]), np.repeat([0, 1], [n - frauds, frauds])
    order = chance.permutation(n)
    return Dataset("payments", torch.from_numpy(x[order]).float(), torch.from_numpy(y[order]), CLASSES)


def _honest(
    chance: np.random.Generator, n: int, tastes: np.ndarray, wealth: float, radius: float, online: float, evening: float
) -> np.ndarray:  # fmt: skip
    merchant = chance.choice(len(MERCHANTS), n, p=tastes)
    at_home = chance.uniform(size=n) < online
    dear = np.isin(merchant, [MERCHANTS.index("electronics"), MERCHANTS.index("travel")])
    amount = wealth + 3.2 + 1.2 * dear + chance.normal(0, 0.9, n)
    distance = np.where(at_home, 0.0, np.abs(1.2 + radius + chance.normal(0, 0.7, n)))
    distance += (chance.uniform(size=n) < 0.03) * chance.uniform(2, 6, n)  # a journey
    hour = evening + chance.normal(0, 4, n)
    recent = chance.poisson(0.35, n) + (chance.uniform(size=n) < 0.02) * chance.poisson(4, n)  # a shopping trip
    new = chance.uniform(size=n) < 0.05  # a new telephone
    return _columns(amount, hour, distance, recent, at_home, new, chance.gamma(2.0, 4.0, n), merchant)


def _stolen(chance: np.random.Generator, kind: np.ndarray, wealth: float) -> np.ndarray:
    """Return frauds of the given kinds, numbers into PATTERNS."""
    n = len(kind)
    testing, takeover, copied, gifts = (kind == number for number in range(len(PATTERNS)))
    amount = np.select(
        [testing, takeover, copied, gifts], [1.0, wealth + 5.0, wealth + 4.2, 4.6], 0.0
    ) + chance.normal(0, np.where(gifts, 0.2, 0.7), n)  # fmt: skip
    hour = np.where(takeover, 3.0, chance.uniform(0, 24, n)) + chance.normal(0, 2.5, n)
    distance = np.where(copied, chance.uniform(3, 8, n), np.abs(chance.normal(0, 1.0, n)))
    recent = np.where(testing, chance.poisson(4.0, n), chance.poisson(0.6, n)) + gifts * chance.poisson(1.5, n)
    at_home = np.where(copied, chance.uniform(size=n) < 0.05, chance.uniform(size=n) < 0.85)
    new = chance.uniform(size=n) < np.where(takeover, 0.8, 0.15)
    years = chance.gamma(2.0, np.where(takeover, 7.0, 4.0), n)
    # Where each kind spends; one in five frauds is anywhere.
    favourite = np.array([MERCHANTS.index(name) for name in ("games", "electronics", "fuel", "gift cards")])[kind]
    anywhere = chance.integers(len(MERCHANTS), size=n)
    return _columns(
        amount, hour, distance, recent, at_home, new, years, np.where(chance.uniform(size=n) < 0.2, anywhere, favourite)
    )


def _columns(
    amount: np.ndarray, hour: np.ndarray, distance: np.ndarray, recent: np.ndarray, online: np.ndarray, new: np.ndarray,
    years: np.ndarray, merchant: np.ndarray,
) -> np.ndarray:  # fmt: skip
    angle = 2 * np.pi * hour / 24
    numbers = [amount, np.sin(angle), np.cos(angle), distance, np.log1p(recent), online, new, np.log1p(years)]
    middle, unit = np.array(list(SCALES.values())).T
    scaled = (np.stack(numbers, axis=1) - middle) / unit
    return np.concatenate([scaled, np.eye(len(MERCHANTS))[merchant]], axis=1)
