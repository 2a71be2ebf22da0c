"""The course's models."""

from course_lib.models.gpt import gpt
from course_lib.models.images import cnn, lenet, logistic, mlp, normalised
from course_lib.models.ratings import Taste, taste
from course_lib.models.spec import ModelSpec, Shape, check_output
from course_lib.models.text import Causal, causal

__all__ = [
    "Causal", "ModelSpec", "Shape", "Taste", "causal", "check_output", "cnn", "gpt", "lenet", "logistic", "mlp", "normalised", "taste",
]  # fmt: skip
