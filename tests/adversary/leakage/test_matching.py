"""Search finds the image behind a message, and chooses among restarts without a look at the truth."""

from math import isinf

import pytest
import torch

from course_lib.adversary.leakage import Reconstruction, Victim, dlg, invert, matching, psnr
from tests.adversary.leakage.small import TRAIN, victim


def sent(image: int, **told: float) -> tuple[Victim, torch.Tensor, torch.Tensor, torch.Tensor]:
    imagined = victim(seed=image, **told)  # type: ignore[arg-type]
    x, y = TRAIN.x[image : image + 1], TRAIN.y[image : image + 1]
    return imagined, imagined.message(x, y, differentiable=False), x, y


def test_dlg_finds_image_and_label_and_idlg_finds_the_image() -> None:
    imagined, message, x, y = sent(3)
    for labels in (None, y):
        found = dlg(imagined, message, labels=labels, iterations=60)
        assert psnr(found.images, x) > 60
        assert torch.equal(found.labels, y)
        assert 0 <= found.loss < 1e-5


@pytest.mark.parametrize("told", [{}, {"rate": 0.1, "epochs": 3}])
def test_inverting_finds_the_image_behind_a_gradient_and_behind_an_update(told: dict[str, float]) -> None:
    imagined, message, x, y = sent(2, **told)
    found = invert(imagined, message, y, iterations=120)
    assert psnr(found.images, x) > (30 if not told else 20)
    assert float(found.images.min()) >= 0
    assert float(found.images.max()) <= 1


def test_the_length_of_a_message_does_not_matter_for_inverting() -> None:
    imagined, message, _, y = sent(3)
    once, scaled = (invert(imagined, factor * message, y, iterations=20) for factor in (1.0, 8.0))
    torch.testing.assert_close(once.images, scaled.images, atol=0.02, rtol=0)


def test_the_restart_with_the_lowest_loss_is_returned_and_all_are_told() -> None:
    imagined, message, _, y = sent(4)
    found = invert(imagined, message, y, restarts=4, iterations=15)
    losses = [loss for loss, _ in found.tried]
    assert len(set(losses)) == 4
    assert found.loss == min(losses)
    assert torch.equal(found.images, found.tried[losses.index(min(losses))][1])


def test_a_search_that_breaks_counts_as_a_failure_and_is_not_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    imagined, message, x, _ = sent(5)
    losses = iter([float("nan"), 0.5, 0.25])

    def broken(made: torch.Tensor, message: torch.Tensor) -> torch.Tensor:
        return torch.tensor(next(losses))

    found = matching._best(imagined, message, lambda chance: (x, torch.tensor([0])), broken, 3, 0)
    assert found.loss == 0.25
    assert isinf(found.tried[0][0])


def test_the_same_seed_searches_the_same_way_and_another_one_another() -> None:
    imagined, message, _, y = sent(6)

    def images(seed: int) -> torch.Tensor:
        return invert(imagined, message, y, iterations=3, seed=seed).images

    assert torch.equal(images(1), images(1))
    assert not torch.equal(images(1), images(2))
    state = torch.get_rng_state()
    images(1)
    assert torch.equal(torch.get_rng_state(), state)


def test_distances_are_zero_for_the_same_message_and_have_their_known_values() -> None:
    a, b = torch.tensor([3.0, 4.0]), torch.tensor([3.0, 0.0])
    assert float(matching.squared(a, a)) == 0
    assert float(matching.squared(b, a)) == pytest.approx(16 / 25)
    assert float(matching.cosine(b, a)) == pytest.approx(1 - 3 / 5)
    assert float(matching.cosine(-2 * a, a)) == pytest.approx(2)
    steps = torch.tensor([[0.0, 1.0], [0.0, 3.0]])[None, None]
    assert float(matching.total_variation(steps)) == pytest.approx((0 + 2) / 2 + (1 + 3) / 2)


def test_total_variation_smooths_what_the_message_leaves_open() -> None:
    imagined, message, _, y = sent(7)
    rough, smooth = (
        matching.total_variation(invert(imagined, message, y, iterations=40, variation=weight).images)
        for weight in (0.0, 1.0)
    )
    assert float(smooth) < 0.5 * float(rough)


def test_messages_and_labels_that_make_no_sense_are_refused() -> None:
    imagined, message, _, y = sent(8)
    with pytest.raises(ValueError, match="NaN or infinity, or nothing but zeros"):
        invert(imagined, torch.zeros_like(message), y)
    with pytest.raises(ValueError, match="NaN"):
        dlg(imagined, message * float("nan"))
    with pytest.raises(ValueError, match="restarts=0"):
        invert(imagined, message, y, restarts=0)
    with pytest.raises(ValueError, match="but batch=2"):
        dlg(imagined, message, batch=2, labels=y)


def test_a_reconstruction_holds_what_was_found() -> None:
    imagined, message, _, y = sent(9)
    found = dlg(imagined, message, labels=y, iterations=2)
    assert isinstance(found, Reconstruction)
    assert found.images.shape == (1, *TRAIN.shape)
