"""Real patients with a lump in the breast, dealt to five hospitals by a stated rule.

The patients are those of `data.load("breast_cancer")` (Wolberg, Street and Mangasarian 1995, UCI Machine Learning Repository, CC BY
4.0), all of one hospital in Wisconsin. The rule: they are ranked by the mean radius of their cells' nuclei plus a normal error
with a standard deviation of 2 micrometres (what a family doctor guesses before the biopsy), and each fifth goes to one hospital: the
small lumps to the district hospital, the large ones to the cancer centre. So the share of malignant lumps differs as much as the lumps.
"""

import numpy as np
import torch

from course_lib.data.dataset import Dataset

HOSPITALS = ("District hospital", "Town hospital", "City hospital", "University hospital", "Cancer centre")
CLASSES = ("benign", "malignant")

# For each of the ten measurements of nuclei: middle and unit of its mean, of its standard error, and of its three largest.
# Round numbers inside the ranges that the data set's description prints, fixed for every hospital.
_SCALES = {
    "radius": ((14, 4), (0.4, 0.3), (16, 5)),
    "texture": ((19, 4), (1.2, 0.6), (26, 6)),
    "perimeter": ((90, 25), (3, 2), (107, 34)),
    "area": ((650, 350), (40, 45), (880, 570)),
    "smoothness": ((0.1, 0.015), (0.007, 0.003), (0.13, 0.02)),
    "compactness": ((0.1, 0.05), (0.025, 0.02), (0.25, 0.15)),
    "concavity": ((0.1, 0.08), (0.03, 0.03), (0.3, 0.2)),
    "concave points": ((0.05, 0.04), (0.012, 0.006), (0.11, 0.07)),
    "symmetry": ((0.18, 0.03), (0.02, 0.008), (0.29, 0.06)),
    "fractal dimension": ((0.063, 0.007), (0.004, 0.003), (0.084, 0.018)),
}
_GUESS = 2.0  # micrometres
_KEY = 20_260_105


def hospitals(seed: int) -> dict[str, Dataset]:
    """Return the patients of each hospital: `x: (n, 30)`, (value - middle) / unit; `y: (n,)`, 1 is malignant.

    569 patients in all, the malignant ones from 1 in 10 to 9 in 10, or so. The seed draws the doctors' guesses.
    """
    from sklearn.datasets import load_breast_cancer

    found = load_breast_cancer()
    chance = np.random.default_rng([seed, _KEY])
    guessed = found.data[:, 0] + chance.normal(0, _GUESS, len(found.data))
    middle, unit = np.array([[scale[kind] for scale in _SCALES.values()] for kind in range(3)]).reshape(-1, 2).T
    x = torch.from_numpy((found.data - middle) / unit).float()
    y = torch.from_numpy(1 - found.target).long()
    return {
        name: Dataset("hospitals", x[part], y[part], CLASSES)
        for name, part in zip(HOSPITALS, map(np.sort, np.array_split(np.argsort(guessed), len(HOSPITALS))), strict=True)
    }
