import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.metrics import accuracy_score, average_precision_score, f1_score, log_loss
from torch import nn

from course_lib import learning, models
from course_lib.data import Dataset
from course_lib.learning import evaluation
from course_lib.learning.evaluation import Interval


def dataset(n: int, classes: int, seed: int = 0) -> Dataset:
    generator = torch.Generator().manual_seed(seed)
    y = torch.cat([torch.arange(classes), torch.randint(classes, (n - classes,), generator=generator)])
    return Dataset(
        name="made",
        x=torch.randn(n, 6, generator=generator),
        y=y,
        classes=tuple(str(label) for label in range(classes)),
    )


@pytest.mark.parametrize("classes", [2, 5])
def test_the_report_is_scikit_learns(classes: int) -> None:
    data, model = dataset(200, classes), models.mlp((9,)).build((6,), classes)
    probability = model(data.x).detach().double().softmax(1).numpy()
    truth, guess = data.y.numpy(), probability.argmax(1)
    areas = [average_precision_score(truth == label, probability[:, label]) for label in range(classes)]
    report = learning.report(model, data)
    assert report["accuracy"] == pytest.approx(accuracy_score(truth, guess))
    assert report["macro_f1"] == pytest.approx(f1_score(truth, guess, average="macro"))
    assert report["pr_auc"] == pytest.approx(areas[1] if classes == 2 else np.mean(areas))
    assert report["loss"] == pytest.approx(log_loss(truth, probability), rel=1e-5)


def test_accuracy_ignores_dropout_and_leaves_the_model_in_training() -> None:
    data = dataset(500, 3)
    model = nn.Sequential(nn.Linear(6, 3), nn.Dropout(0.9))
    assert learning.accuracy(model, data) == learning.accuracy(model[0], data)
    assert model.training
    assert learning.accuracy(model.eval(), data) == learning.accuracy(model[0], data)
    assert not model.training


def test_a_data_set_of_many_batches_counts_whole_and_stays_as_it_is() -> None:
    class InPlace(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.sub_(0.25)[:, :3]

    data = dataset(2500, 3)
    before = data.x.clone()
    hits, loss = evaluation.accuracy_and_loss(InPlace(), data)
    assert torch.equal(data.x, before)
    assert hits == pytest.approx(accuracy_score(data.y, before[:, :3].argmax(1)))
    assert loss == pytest.approx(log_loss(data.y, before[:, :3].double().softmax(1)), rel=1e-5)


def test_a_class_that_the_data_set_lacks_is_left_out_of_the_mean_precision() -> None:
    data, model = dataset(200, 5), models.mlp((9,)).build((6,), 5)
    data = data.subset(data.y != 3)
    probability = model(data.x).detach().softmax(1).numpy()
    areas = [average_precision_score(data.y.numpy() == label, probability[:, label]) for label in (0, 1, 2, 4)]
    assert learning.report(model, data)["pr_auc"] == pytest.approx(np.mean(areas))


def test_accuracy_is_given_for_each_client_apart() -> None:
    model = nn.Linear(6, 2)
    with torch.no_grad():
        model.weight.zero_()
        model.bias.copy_(torch.tensor([1.0, 0.0]))
    data = dataset(50, 2)
    zeros, ones = data.subset(data.y == 0), data.subset(data.y == 1)
    assert learning.per_client_accuracy(model, [zeros, ones]) == [1.0, 0.0]


def test_the_interval_is_scipys_t_interval() -> None:
    values = [0.91, 0.93, 0.90, 0.95]
    low, high = stats.t.interval(0.95, 3, np.mean(values), stats.sem(values))
    ours = learning.interval(values)
    assert (ours.mean, ours.low, ours.high) == pytest.approx((np.mean(values), low, high))
    assert ours.half_width == pytest.approx((high - low) / 2)


def test_ninety_five_of_a_hundred_intervals_hold_the_truth() -> None:
    draws = np.random.default_rng(0).normal(3.0, 2.0, size=(2000, 5))
    held = sum(not learning.interval(row).excludes(3.0) for row in draws)
    # Two thousand intervals hold the truth 1900 times, give or take 3.3 standard deviations of the binomial.
    assert abs(held - 1900) < 32


def test_pairing_by_seed_removes_what_both_share() -> None:
    luck = np.random.default_rng(1).normal(0.9, 0.02, size=8)
    first, second = luck + 0.005, luck + np.random.default_rng(2).normal(0, 0.001, size=8)
    paired = learning.paired_difference(first, second)
    assert paired.excludes(0.0)
    assert paired.half_width < learning.interval(first).half_width / 5
    by_seed = learning.paired_difference(dict(enumerate(first)), dict(reversed(list(enumerate(second)))))
    assert by_seed.mean == pytest.approx(paired.mean) and by_seed.low == pytest.approx(paired.low)


def test_an_interval_reads_as_a_person_would_write_it() -> None:
    found = Interval(0.9312, 0.9272, 0.9352, 5)
    assert f"{found:.1%}" == "93.1 ± 0.4 %"
    assert f"{found:.2f}" == "0.93 ± 0.00"
    assert str(found) == "0.931 ± 0.004"
    for cut in (Interval(0.99, 0.95, 1.0, 5), Interval(0.01, 0.0, 0.05, 5)):  # beyond what is possible no ± reaches
        assert f"{cut:.2f}" == f"{cut.mean:.2f} ({cut.low:.2f} to {cut.high:.2f})"
    assert f"{Interval(0.0, -0.0449, 0.0453, 5):.2f}" == "0.00 ± 0.05"  # uneven by rounding alone
    assert not found.excludes(found.low) and not found.excludes(found.high)


def test_no_bound_lies_outside_what_is_possible() -> None:
    high, low = learning.interval([1.0, 0.5, 0.9], within=(0, 1)), learning.interval([0.0, 0.5, 0.1], within=(0, 1))
    assert (high.high, low.low) == (1.0, 0.0)
    assert high.low == pytest.approx(1 - low.high) and 0 < high.low < high.mean


def test_a_paired_difference_has_the_level_that_is_asked_for() -> None:
    first, second = [0.9, 0.8, 0.7], [0.8, 0.85, 0.6]
    expected = learning.interval([a - b for a, b in zip(first, second, strict=True)], 0.5)
    assert learning.paired_difference(first, second, 0.5) == expected
    by_seed = learning.paired_difference(dict(enumerate(first)), dict(enumerate(second)), 0.5)
    assert by_seed == expected


def test_too_few_values_other_seeds_and_numbers_that_are_none_are_refused() -> None:
    with pytest.raises(ValueError, match="got 1"):
        learning.interval([0.9])
    with pytest.raises(ValueError, match="nan"):
        learning.interval([0.9, float("nan")])
    for level in (0, 1, 1.5):
        with pytest.raises(ValueError, match=f"level={level} must"):
            learning.interval([0.9, 0.8], level=level)
    with pytest.raises(ValueError, match="2 and 3"):
        learning.paired_difference([1, 2], [1, 2, 3])
    with pytest.raises(ValueError, match="same seeds"):
        learning.paired_difference({0: 1.0, 1: 2.0}, {0: 1.0, 2: 2.0})
