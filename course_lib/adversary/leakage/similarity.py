"""How alike two images are, by people's usual measures. Needs the truth, so it judges attacks and never steers them."""

from math import inf, log10

import numpy as np
from torch import Tensor


def psnr(image: Tensor, truth: Tensor, peak: float = 1.0) -> float:
    """Return the peak signal-to-noise ratio in decibels: 10 log10(peak^2 / mean squared error), infinite for equal images.

    10 dB is an error of a third of the range (root mean square), 20 a tenth, 40 a hundredth. Raises ValueError for different shapes.
    """
    _check(image, truth)
    error = float((image.double() - truth.double()).square().mean())
    return 10 * log10(peak**2 / error) if error else inf


def ssim(image: Tensor, truth: Tensor, peak: float = 1.0) -> float:
    """Return the mean structural similarity of grey images `(..., h, w)`: 1 for equal ones, about 0 for unrelated ones.

    Local means, variances and covariance under a Gaussian window of sigma 1.5 cut at 11 x 11 pixels, where it fits in whole
    (Wang et al. 2004, doi 10.1109/TIP.2003.819861, equation 13). Raises ValueError for different shapes or smaller images.
    """
    _check(image, truth)
    if min(image.shape[-2:]) < 11:
        raise ValueError(f"images of {tuple(image.shape[-2:])} pixels are smaller than SSIM's window of 11 x 11")
    from scipy.ndimage import gaussian_filter

    def local(values: np.ndarray) -> np.ndarray:
        blurred = gaussian_filter(
            values, [0.0] * (values.ndim - 2) + [1.5, 1.5], radius=[0] * (values.ndim - 2) + [5, 5]
        )
        return blurred[..., 5:-5, 5:-5]

    a, b = image.double().numpy(), truth.double().numpy()
    small, smaller = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    mean_a, mean_b = local(a), local(b)
    variances = local(a * a) - mean_a**2 + local(b * b) - mean_b**2
    covariance = local(a * b) - mean_a * mean_b
    likeness = (2 * mean_a * mean_b + small) * (2 * covariance + smaller)
    return float((likeness / ((mean_a**2 + mean_b**2 + small) * (variances + smaller))).mean())


def paired(images: Tensor, truth: Tensor) -> Tensor:
    """Return of images `(k, *shape)` those `(b, *shape)` that fit `truth: (b, *shape)` best, each used once, squared error in all
    the least: an attack returns a batch in any order.

    Raises ValueError for fewer images than the truth has.
    """
    if len(images) < len(truth):
        raise ValueError(f"{len(images)} images for {len(truth)} true ones: there must be at least as many")
    from scipy.optimize import linear_sum_assignment

    errors = (truth.flatten(1)[:, None].double() - images.flatten(1)[None].double()).square().mean(2)
    return images[linear_sum_assignment(errors.numpy())[1]]


def _check(image: Tensor, truth: Tensor) -> None:
    if image.shape != truth.shape:
        raise ValueError(f"the images have shapes {tuple(image.shape)} and {tuple(truth.shape)}: compare equal ones")
