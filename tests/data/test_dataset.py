import numpy as np
import pytest
import torch

from course_lib import data


@pytest.mark.parametrize(
    ("name", "examples", "shape", "classes"),
    [("digits", 1797, (1, 8, 8), 10), ("mnist5k", 5000, (1, 28, 28), 10), ("breast_cancer", 569, (30,), 2)],
)
def test_embedded_data_is_split_once_with_each_class_in_proportion(
    name: str, examples: int, shape: tuple[int, ...], classes: int
) -> None:
    train, test = data.load(name, test_fraction=0.25, seed=3)
    assert (len(train) + len(test), train.shape, len(train.classes)) == (examples, shape, classes)
    assert len(test) == pytest.approx(0.25 * examples, abs=1)
    rows = torch.cat([train.x, test.x]).flatten(1)
    if name != "breast_cancer":  # pixels are left as they are, so lost or doubled images would show in the sum
        assert rows.min() >= 0 and rows.max() <= 1
    for label in range(classes):
        share = [(part.y == label).double().mean().item() for part in (train, test)]
        assert share[0] == pytest.approx(share[1], abs=0.01)


def test_the_split_depends_on_the_seed_and_on_nothing_else() -> None:
    (first, _), (again, _), (other, _) = (data.load("digits", seed=seed) for seed in (1, 1, 2))
    assert torch.equal(first.x, again.x) and torch.equal(first.y, again.y)
    assert not torch.equal(first.y, other.y)


def test_training_and_test_set_share_no_image() -> None:
    train, test = data.load("mnist5k")
    pixels = {row.numpy().tobytes() for row in train.x}
    assert not pixels & {row.numpy().tobytes() for row in test.x}


def test_a_validation_split_takes_a_share_of_the_training_examples_and_nothing_twice() -> None:
    train, _ = data.load("mnist5k")
    rest, held = data.hold_out(train, 0.2, seed=1)
    assert (len(rest), len(held)) == (3200, 800)
    pixels = [{row.numpy().tobytes() for row in part.x} for part in (rest, held, train)]
    assert not pixels[0] & pixels[1] and pixels[0] | pixels[1] == pixels[2]
    again, other = (data.hold_out(train, 0.2, seed=seed)[1] for seed in (1, 2))
    assert torch.equal(held.x, again.x) and not torch.equal(held.y, other.y)
    for share in (0.0, 1.0, 1e-6):
        with pytest.raises(ValueError, match=f"share={share} of 4000 examples leaves nothing on one side"):
            data.hold_out(train, share)


def test_features_are_standardised_by_the_training_examples_alone() -> None:
    train, test = data.load("breast_cancer")
    torch.testing.assert_close(train.x.mean(0), torch.zeros(30), rtol=0, atol=1e-4)
    torch.testing.assert_close(train.x.std(0), torch.ones(30), rtol=0, atol=1e-4)
    assert test.x.mean(0).abs().max() > 0.01
    assert (train.y == 1).double().mean() < 0.5  # malignant, the rarer one, is the class to find


def test_an_unknown_data_set_is_named_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"'mnits'.*digits.*mnist5k.*cifar10"):
        data.load("mnits")


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.5, 1.5])
def test_a_test_fraction_outside_zero_to_one_is_refused(fraction: float) -> None:
    with pytest.raises(ValueError, match=f"test_fraction={fraction}"):
        data.load("digits", test_fraction=fraction)


X = np.zeros((3, 2))


@pytest.mark.parametrize(
    ("x", "y", "said"),
    [
        (np.array([[0, 0], [0, np.nan], [0, 0]]), [0, 1, 0], "example 1 holds NaN"),
        (np.array([[0, np.inf], [0, 0], [0, 0]]), [0, 1, 0], "example 0 holds NaN or infinity"),
        (X, [0, 0.5, 1], "got 0.5"),
        (X, [0, float("nan"), 1], "got nan"),
        (X, ["cat", "dog", "cat"], "cat"),
        (X, [0, 1], "3 examples but 2 labels"),
        (X, [0, -1, 1], "from -1 to 1"),
        (X, [[0], [1], [0]], r"\(3, 1\)"),
        (X, [True, False, True], "bool"),
    ],
)
def test_data_that_cannot_be_learned_from_is_refused_with_the_value(x: np.ndarray, y: list[object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        data.from_arrays(x, y)  # type: ignore[arg-type]


def test_labels_beyond_the_named_classes_are_refused() -> None:
    with pytest.raises(ValueError, match="from 0 to 2, but 2 classes"):
        data.from_arrays(X, [0, 1, 2], classes=["no", "yes"])


def test_a_learners_own_arrays_become_a_data_set() -> None:
    mine = data.from_arrays(np.ones((4, 1, 5, 5)), np.array([0.0, 2.0, 1.0, 2.0]), "mine")
    assert (mine.shape, mine.classes, mine.y.tolist(), len(mine)) == ((1, 5, 5), ("0", "1", "2"), [0, 2, 1, 2], 4)
    assert mine.nbytes == 4 * 25 * 4 + 4 * 8
    assert mine.subset([3, 1]).y.tolist() == [2, 2]
    assert len(mine.subset([])) == 0
    assert repr(mine) == "Dataset('mine': 4 examples of shape (1, 5, 5), 3 classes)"
