"""Heart disease in four hospitals (Janosi, Steinbrunn, Pfisterer and Detrano 1988, UCI Machine Learning Repository, CC BY 4.0).

Collected by Andras Janosi, M.D. (Hungarian Institute of Cardiology, Budapest), William Steinbrunn, M.D. (University
Hospital, Zurich), Matthias Pfisterer, M.D. (University Hospital, Basel) and Robert Detrano, M.D., Ph.D. (V.A. Medical Center,
Long Beach, and Cleveland Clinic Foundation).
"""

from pathlib import Path

import numpy as np
import torch

from course_lib.data.dataset import Dataset

HOSPITALS = {
    "Cleveland": "processed.cleveland.data",
    "Budapest": "processed.hungarian.data",
    "Zurich and Basel": "processed.switzerland.data",
    "Long Beach": "processed.va.data",
}
CLASSES = ("healthy", "heart disease")

# Attribute: middle and unit of its scale. Round numbers from what each attribute can be, not from anybody's data.
SCALES = {
    "age": (55, 10),  # years
    "sex": (0.5, 0.5),  # 0 female, 1 male
    "chest pain": (2.5, 1),  # 1 typical angina, 2 atypical, 3 other pain, 4 none
    "blood pressure": (130, 20),  # at rest, mm Hg
    "cholesterol": (240, 50),  # mg/dl
    "fasting blood sugar": (0.5, 0.5),  # 1: over 120 mg/dl
    "resting ECG": (1, 1),  # 0 normal, 1 ST-T abnormal, 2 hypertrophy
    "maximum heart rate": (140, 25),  # a minute
    "exercise angina": (0.5, 0.5),  # 0 no, 1 yes
    "ST depression": (1, 1),  # by exercise, mm
    "ST slope": (2, 1),  # 1 up, 2 flat, 3 down
    "vessels": (1.5, 1),  # 0 to 3 coloured by fluoroscopy
    "thallium scan": (5, 2),  # 3 normal, 6 fixed defect, 7 reversible defect
}
_NEVER_ZERO = [list(SCALES).index(name) for name in ("blood pressure", "cholesterol")]


def patients(path: Path, name: str) -> Dataset:
    """Return one hospital's patients: `x: (n, 13)`, the attributes of SCALES as (value - middle) / unit; `y: (n,)`.

    A missing value becomes 0, the middle of its scale, and so do a blood pressure and a cholesterol of 0, which stand for
    missing ones. Means or medians would tell one hospital about the others, or the training about the test.
    """
    table = np.genfromtxt(path, delimiter=",", missing_values="?")
    x, diagnosis = table[:, :-1], table[:, -1]  # the diagnosis: 0, or 1 to 4 by how bad it is
    x[:, _NEVER_ZERO] = np.where(x[:, _NEVER_ZERO] == 0, np.nan, x[:, _NEVER_ZERO])
    middle, unit = np.array(list(SCALES.values())).T
    scaled = np.nan_to_num((x - middle) / unit, nan=0.0)
    return Dataset(name, torch.from_numpy(scaled).float(), torch.from_numpy(diagnosis > 0).long(), CLASSES)
