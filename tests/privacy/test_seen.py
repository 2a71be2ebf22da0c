"""What a server could see is counted in what was sent."""

from course_lib import data, models, plans, rounds
from course_lib.privacy.example_level import ExampleLevel
from course_lib.privacy.in_plans import SecureAggregation
from course_lib.privacy.seen import Seen, seen_by_server, table
from course_lib.privacy.user_level import UserLevel

FEDAVG = plans.fedavg(rounds=2, participation=1.0, epochs=1)
MASKED = FEDAVG.but(secure_aggregation=SecureAggregation(insecure_seed=1))
PLANS = {
    "pooled": plans.centralised(1),
    "federated": FEDAVG,
    "noise of the server": FEDAVG.but(privacy=UserLevel(1.0, 1.0)),
    "noise of each client": FEDAVG.but(privacy=ExampleLevel(1.0, 1.0, 0.5)),
    "masked": MASKED,
    "masked, noise of all": MASKED.but(privacy=UserLevel(1.0, 1.0, noise_by="clients"), required=4),
}


def test_each_mode_shows_the_server_what_its_messages_hold() -> None:
    train, _ = data.load("digits")
    clients = data.partitions.iid(train.y, 4)
    runs = {name: rounds.fit(models.logistic(), train, clients, plan) for name, plan in PLANS.items()}
    assert {name: seen_by_server(run) for name, run in runs.items()} == {
        "pooled": Seen(raw=8, single=0, masked=0, sums=0, noise="nothing"),  # images and labels of four owners
        "federated": Seen(0, 8, 0, 0, "nothing"),
        "noise of the server": Seen(0, 8, 0, 0, "nothing"),
        "noise of each client": Seen(0, 8, 0, 0, "each example's pull"),
        "masked": Seen(0, 0, 8, 2, "nothing"),
        "masked, noise of all": Seen(0, 0, 8, 2, "the sum"),
    }
    shown = table(runs)
    assert list(shown) == list(PLANS)
    assert shown["masked"] == {
        "raw data": 0, "single updates": 0, "masked updates": 8, "sums alone": 2, "noised on the way": "nothing",
    }  # fmt: skip
