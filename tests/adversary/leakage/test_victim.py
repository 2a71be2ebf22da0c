"""The imagined victim sends what a real client sends, and what it sends can be differentiated."""

import pytest
import torch

from course_lib.adversary.leakage import Victim
from course_lib.learning import sgd
from tests.adversary.leakage.small import TRAIN, gradient, victim

X, Y = TRAIN.x[:6], TRAIN.y[:6]


def test_one_gradient_is_what_backpropagation_gives() -> None:
    imagined = victim()
    torch.testing.assert_close(imagined.message(X, Y), gradient(imagined.module, X, Y))
    assert imagined.gradient(imagined.message(X, Y), 6) is not None
    assert imagined.steps(6) == 1


@pytest.mark.parametrize("batch_size", [None, 2, 4])
def test_the_update_of_several_steps_is_what_sgd_changes(batch_size: int | None) -> None:
    imagined = victim(rate=0.2, epochs=3, batch_size=batch_size)
    theta = imagined.theta.clone()
    for _ in range(3):
        for x, y in zip(X.split(batch_size or 6), Y.split(batch_size or 6), strict=True):
            torch.nn.utils.vector_to_parameters(theta.clone(), imagined.module.parameters())
            theta = theta - 0.2 * gradient(imagined.module, x, y)
    for differentiable in (True, False):
        made = imagined.message(X, Y, differentiable=differentiable)
        torch.testing.assert_close(made, theta - imagined.theta, rtol=1e-4, atol=1e-6)
    steps = 3 if batch_size is None else 9 if batch_size == 2 else 6
    assert imagined.steps(6) == steps
    torch.testing.assert_close(imagined.gradient(made, 6), made / (-0.2 * steps))


def test_the_unrolled_steps_have_the_slope_that_differences_show() -> None:
    imagined = victim(rate=0.3, epochs=3)
    x, y, way = X[:2].double(), Y[:2], torch.randn(2, *TRAIN.shape).double()
    imagined = Victim(imagined.module.double(), imagined.theta.double(), TRAIN.shape, 0.3, 3)
    x.requires_grad_()
    (slope,) = torch.autograd.grad(imagined.message(x, y).square().sum(), [x])
    far, near = (
        imagined.message(x.detach() + step * way, y, differentiable=False).detach().square().sum()
        for step in (1e-6, -1e-6)
    )
    assert float((slope * way).sum()) == pytest.approx(float(far - near) / 2e-6, rel=1e-4)


def test_labels_may_be_shares_of_classes() -> None:
    imagined = victim()
    shares = torch.nn.functional.one_hot(Y, 10).float()
    torch.testing.assert_close(imagined.message(X, shares), imagined.message(X, Y))


def test_the_weights_of_the_model_that_was_given_stay_as_they_were() -> None:
    imagined = victim(rate=0.1, epochs=2)
    before = sgd.FlatModel(imagined.module).theta.clone()
    imagined.message(X, Y)
    assert torch.equal(sgd.FlatModel(imagined.module).theta, before)


def test_settings_that_make_no_sense_are_refused() -> None:
    module = victim().module
    with pytest.raises(ValueError, match=r"theta has shape \(3,\), but the model has \d+ weights"):
        Victim(module, torch.zeros(3), TRAIN.shape)
    with pytest.raises(ValueError, match="need a rate"):
        victim(epochs=2)
