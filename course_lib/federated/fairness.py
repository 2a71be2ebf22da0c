"""Who gains and who loses: how accuracy is spread over clients."""

from collections.abc import Sequence

import numpy as np


def spread(accuracies: Sequence[float] | np.ndarray) -> dict[str, float]:
    """Return how per-client accuracies `(n,)` are spread: mean, worst and best decile, variance and Gini coefficient.

    `worst_decile` is the mean over the tenth of the clients, at least one, that fare worst. The Gini coefficient (Gini 1912) is
    0 where all are equal, and 1 - 1/n where one has everything. Raises ValueError for no client, or values below 0, infinite or NaN.
    """
    values = np.sort(np.asarray(accuracies, dtype=float))
    if not len(values) or not ((values >= 0) & (values < np.inf)).all():
        raise ValueError(
            f"accuracies={accuracies} must be one or more numbers from 0 to 1, such as run.client_accuracy"
        )
    n, tenth = len(values), max(1, round(len(values) / 10))
    places = np.arange(1, n + 1)
    gini = float(((2 * places - n - 1) * values).sum() / (n * values.sum())) if values.sum() else 0.0
    return {
        "mean": float(values.mean()), "worst_decile": float(values[:tenth].mean()),
        "best_decile": float(values[-tenth:].mean()), "variance": float(values.var()), "gini": gini,
    }  # fmt: skip
