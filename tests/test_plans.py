import pytest

from course_lib import plans


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"participation": 1.5}, "participation=1.5"),
        ({"participation": -0.1}, "participation=-0.1"),
        ({"learning_rate": 0.0}, "learning_rate=0.0"),
        ({"learning_rate": float("nan")}, "learning_rate=nan"),
        ({"rounds": 0}, "rounds=0"),
        ({"batch_size": -3}, "batch_size=-3"),
        ({"batch_size": 2.5}, "batch_size=2.5"),
        ({"local_steps": 2}, "local_steps=2 and local_epochs=5"),
        ({"local_epochs": None}, "local_steps=None and local_epochs=None"),
        ({"exchange": "all-reduce"}, "participation=0.1.*everyone"),
        ({"exchange": "none", "participation": 1.0}, "pooled"),
    ],
)
def test_a_setting_that_makes_no_sense_is_named_with_its_value(changes: dict[str, object], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        plans.fedavg().but(**changes)


def test_the_four_questions_tell_the_plans_apart() -> None:
    answers = {
        plan.name: (plan.data, plan.exchange, plan.sends)
        for plan in (plans.centralised(), plans.synchronous_sgd(), plans.local_sgd(), plans.fedsgd(), plans.fedavg())
    }
    assert answers == {
        "centralised": ("pooled", "none", "update"),
        "synchronous SGD": ("pooled", "all-reduce", "gradient"),
        "local SGD": ("pooled", "all-reduce", "update"),
        "FedSGD": ("stays", "server", "gradient"),
        "FedAvg": ("stays", "server", "update"),
    }


def test_a_changed_plan_leaves_the_first_one_as_it_was() -> None:
    plan = plans.fedavg(rounds=7)
    assert plan.but(participation=0.5).participation == 0.5
    assert (plan.participation, plan.rounds) == (0.1, 7)
