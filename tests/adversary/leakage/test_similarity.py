"""PSNR and SSIM against closed forms, and the pairing of a batch."""

from itertools import permutations
from math import inf, log10

import numpy as np
import pytest
import torch

from course_lib.adversary.leakage import paired, psnr, ssim


def test_psnr_is_20_db_for_an_error_of_a_tenth_of_the_range_and_infinite_for_none() -> None:
    truth = torch.rand(1, 5, 5)
    assert psnr(truth + 0.1, truth) == pytest.approx(20, abs=1e-4)
    assert psnr(truth + 10, truth, peak=100) == pytest.approx(20, abs=1e-4)
    assert psnr(truth, truth) == inf
    half = truth.clone()
    half[0, 0, 0] += 0.5
    assert psnr(half, truth) == pytest.approx(10 * log10(25 / 0.25), abs=1e-4)


def test_ssim_of_two_flat_images_is_the_likeness_of_their_means() -> None:
    a, b = torch.full((1, 16, 16), 0.2), torch.full((1, 16, 16), 0.6)
    assert ssim(a, b) == pytest.approx((2 * 0.12 + 1e-4) / (0.04 + 0.36 + 1e-4), rel=1e-6)


def test_ssim_is_its_definition_at_the_one_place_of_an_image_of_11_pixels() -> None:
    chance = np.random.default_rng(3)
    a, b = chance.random((2, 11, 11))
    line = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    window = np.outer(line, line) / line.sum() ** 2

    def mean(values: np.ndarray) -> float:
        return float((window * values).sum())

    covariance = mean((a - mean(a)) * (b - mean(b)))
    variances = mean((a - mean(a)) ** 2) + mean((b - mean(b)) ** 2)
    expected = (2 * mean(a) * mean(b) + 1e-4) * (2 * covariance + 9e-4)
    expected /= (mean(a) ** 2 + mean(b) ** 2 + 1e-4) * (variances + 9e-4)
    assert ssim(torch.tensor(a)[None], torch.tensor(b)[None]) == pytest.approx(expected, rel=1e-9)


def test_ssim_is_1_for_equal_images_negative_for_a_negative_and_a_mean_over_images() -> None:
    image = torch.rand(1, 28, 28)
    assert ssim(image, image) == pytest.approx(1)
    assert ssim(1 - image, image) < -0.5
    other = torch.rand(1, 28, 28)
    both = ssim(torch.stack([image, other]), torch.stack([image, image]))
    assert both == pytest.approx((1 + ssim(other, image)) / 2)


def test_a_batch_is_paired_so_that_all_errors_together_are_least() -> None:
    truth, made = torch.rand(4, 1, 3, 3), torch.rand(5, 1, 3, 3)
    best = min(permutations(range(5), 4), key=lambda order: float((made[list(order)] - truth).square().sum()))
    assert torch.equal(paired(made, truth), made[list(best)])


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\(1, 3, 3\) and \(3, 3\)"):
        psnr(torch.zeros(1, 3, 3), torch.zeros(3, 3))
    with pytest.raises(ValueError, match="smaller than SSIM's window"):
        ssim(torch.zeros(1, 8, 8), torch.zeros(1, 8, 8))
    with pytest.raises(ValueError, match="2 images for 3 true ones"):
        paired(torch.zeros(2, 1, 3, 3), torch.zeros(3, 1, 3, 3))
