"""Flipped labels and back doors: who is changed, how many, and how success is counted."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from course_lib.adversary import poisoning
from course_lib.data import Dataset

CLASSES = tuple("0123456789")


def images(n: int, seed: int = 0, side: int = 8) -> Dataset:
    generator = torch.Generator().manual_seed(seed)
    x = 0.5 * torch.rand(n, 1, side, side, generator=generator)
    return Dataset("noise", x, torch.randint(0, 10, (n,), generator=generator), CLASSES)


def attack(data: poisoning.DataPoisoning, *clients: int) -> poisoning.Attack:
    return poisoning.Attack(clients or (0,), data=data)


@given(st.integers(0, 40), st.floats(0, 1), st.integers(0, 1000))
def test_flipping_every_label_twice_changes_nothing(n: int, share: float, seed: int) -> None:
    data = images(n, seed)
    flip = attack(poisoning.LabelFlip(share=share))
    once = flip.poison(data, 0, seed)
    assert int((once.y != data.y).sum()) == round(share * n)  # no digit is its own opposite
    assert torch.equal(once.y[once.y != data.y], 9 - data.y[once.y != data.y])
    assert torch.equal(flip.poison(once, 0, seed).y, data.y)
    assert torch.equal(once.x, data.x)


@given(st.floats(0, 1), st.integers(0, 1000))
def test_one_class_flipped_to_another_leaves_the_rest_alone(share: float, seed: int) -> None:
    data = images(60, seed)
    flipped = attack(poisoning.LabelFlip(7, 1, share)).poison(data, 0, seed)
    sevens = data.y == 7
    assert torch.equal(flipped.y[~sevens], data.y[~sevens])
    assert int((flipped.y[sevens] == 1).sum()) == round(share * int(sevens.sum()))
    assert set(flipped.y[sevens].tolist()) <= {1, 7}


@given(st.integers(0, 40), st.floats(0, 1), st.integers(0, 1000), st.integers(1, 8))
def test_a_back_door_marks_its_share_and_nothing_else(n: int, share: float, seed: int, size: int) -> None:
    data = images(n, seed)
    poisoned = attack(poisoning.Backdoor(target=3, share=share, size=size)).poison(data, 0, seed)
    marked = (poisoned.x != data.x).flatten(1).any(1)
    assert int(marked.sum()) == round(share * n)
    assert (poisoned.y[marked] == 3).all() and torch.equal(poisoned.y[~marked], data.y[~marked])
    assert (poisoned.x[marked][:, :, -size:, -size:] == 1).all()
    assert torch.equal(poisoned.x[:, :, :-size], data.x[:, :, :-size])
    assert torch.equal(poisoned.x[:, :, :, :-size], data.x[:, :, :, :-size])
    assert (data.x < 1).all()


def test_the_draw_is_the_seeds_and_the_clients() -> None:
    data, door = images(50), attack(poisoning.Backdoor(share=0.5), 2, 5)
    again = [door.poison(data, 2, 0).y, door.poison(data, 2, 0).y, door.poison(data, 5, 0).y, door.poison(data, 2, 1).y]
    assert torch.equal(again[0], again[1])
    assert not torch.equal(again[0], again[2]) and not torch.equal(again[0], again[3])


def test_who_does_not_attack_and_a_share_of_nothing_change_nothing() -> None:
    data = images(30)
    assert attack(poisoning.LabelFlip(), 4).poison(data, 3, 0) is data
    assert poisoning.Attack().poison(data, 0, 0) is data
    assert poisoning.Attack((0,), model=poisoning.SignFlip()).poison(data, 0, 0) is data
    for none in (poisoning.LabelFlip(share=0.0), poisoning.LabelFlip(2, 3, 0.0), poisoning.Backdoor(share=0.0)):
        same = attack(none).poison(data, 0, 0)
        assert torch.equal(same.x, data.x) and torch.equal(same.y, data.y)


class Corner(nn.Module):
    """Says 3 where the corner is bright, otherwise what the label's pixel says."""

    def forward(self, x: Tensor) -> Tensor:
        said = torch.where(x[:, 0, -1, -1] == 1, 3, (100 * x[:, 0, 0, 0]).round().long())
        return nn.functional.one_hot(said, 10).float()


def test_success_counts_marked_images_of_other_classes_beside_chance() -> None:
    test = images(200)
    test.x[:, 0, 0, 0] = test.y / 100
    threes = int((test.y == 3).sum())
    mistaken = (test.y == 5).nonzero().flatten()[:4]
    test.x[mistaken, 0, 0, 0] = 0.03  # taken for a 3 without any mark
    door = poisoning.Backdoor(target=3)
    success = poisoning.attack_success(Corner(), door, test)
    assert success == poisoning.Success(1.0, 4 / (200 - threes), 200 - threes)
    assert poisoning.attack_success(Corner(), poisoning.Backdoor(target=3, value=0.9), test).share == success.chance
    triggered = door.triggered(test)
    assert len(triggered) == 200 - threes and 3 not in triggered.y
    assert (triggered.x[:, :, -4:, -4:] == 1).all() and torch.equal(triggered.y, test.y[test.y != 3])
    assert (door.marked(test.x) == 1).flatten(1).sum(1).tolist() == [16] * 200
    assert test.x[:, :, -4:, -4:].max() < 1  # the images themselves stay clean


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda: poisoning.LabelFlip(source=1), "source=1 and target=None"),
        (lambda: poisoning.LabelFlip(4, 4), "source=4 and target=4"),
        (lambda: poisoning.LabelFlip(share=1.5), "share=1.5"),
        (lambda: poisoning.Backdoor(share=float("nan")), "share=nan"),
        (lambda: poisoning.Backdoor(size=0), "size=0"),
        (lambda: attack(poisoning.LabelFlip(1, 10)).poison(images(3), 0, 0), "no class 10: it has 0 to 9"),
        (lambda: attack(poisoning.Backdoor(target=-1)).poison(images(3), 0, 0), "no class -1"),
        (lambda: poisoning.Backdoor(size=9).triggered(images(3)), "no room for a square of 9 x 9"),
        (lambda: poisoning.Backdoor().marked(torch.zeros(2, 30)), r"shape \(30,\) have no room"),
        (lambda: poisoning.Attack((1, 1)), r"clients=\(1, 1\)"),
        (lambda: poisoning.Attack((-1,)), r"clients=\(-1,\)"),
        (lambda: poisoning.attack_success(Corner(), poisoning.Backdoor(3), images(0)), "all 0 examples show class 3"),
    ],
)
def test_what_cannot_be_poisoned_is_refused_with_the_value(wrong, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        wrong()
