"""The generated cases: what each promises of its clients, that the seed decides, and that there is something to learn together."""

import pytest
import torch

from course_lib import data
from course_lib.data.cases import payments


def test_payments_have_one_fraud_in_a_hundred_and_every_bank_some_on_both_sides() -> None:
    found = data.load_by_client("payments", seed=3)
    assert len(found) == payments.BANKS == 20 and found.train.shape == (len(payments.FIELDS),)
    share = torch.cat([found.train.y, found.test.y]).double().mean().item()
    assert 0.008 < share < 0.013
    for owned, whole in ((found.clients, found.train), (found.local_tests, found.test)):
        assert all(whole.y[part].sum() >= 1 for part in owned)


def test_a_bank_is_the_same_bank_whatever_their_number() -> None:
    few, many = payments.banks(5, number=2), payments.banks(5)
    assert list(few) == list(many)[:2]
    assert all(torch.equal(few[bank].x, many[bank].x) and torch.equal(few[bank].y, many[bank].y) for bank in few)
    with pytest.raises(ValueError, match="number=0"):
        payments.banks(5, number=0)


def test_banks_differ_in_merchants_amounts_and_frauds() -> None:
    """A bank against itself in another year is the measure: two banks are further apart than that."""
    first, again = payments.banks(0), payments.banks(1)
    merchants = slice(len(payments.SCALES), None)

    def habits(bank: data.Dataset, label: int) -> torch.Tensor:
        return bank.x[bank.y == label].mean(0)

    own = torch.stack([(habits(first[b], 0) - habits(again[b], 0))[merchants].abs().sum() for b in first])
    others = torch.stack([(habits(a, 0) - habits(b, 0))[merchants].abs().sum()
                          for a, b in zip(first.values(), list(first.values())[1:], strict=False)])  # fmt: skip
    assert others.mean() > 4 * own.mean()
    amounts = torch.stack([habits(bank, 0)[0] for bank in first.values()])
    assert amounts.std() > 0.2
