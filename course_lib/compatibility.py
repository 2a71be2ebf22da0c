"""What makes no sense in a plan, and what cannot go together, each with the reason."""

from typing import TYPE_CHECKING

from course_lib.distributed.asynchronous import Asynchronous
from course_lib.federated.strategy import Strategy
from course_lib.privacy.user_level import UserLevel

if TYPE_CHECKING:
    from course_lib.plans import Plan

# What only a server's messages go through.
_WITH_A_SERVER = (
    "fleet",
    "faults",
    "client_momentum",
    "attack",
    "aggregation",
    "secure_aggregation",
    "asynchronous",
)


def check(plan: "Plan") -> None:
    """Raise ValueError, naming the value, for settings that make no sense or contradict each other."""
    for name in ("rounds", "local_steps", "local_epochs", "batch_size", "required"):
        value = getattr(plan, name)
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
            raise ValueError(f"{name}={value!r} must be a whole number of at least 1")
    if (plan.local_steps is None) == (plan.local_epochs is None):
        raise ValueError(
            f"give either local_steps or local_epochs, got local_steps={plan.local_steps} and "
            f"local_epochs={plan.local_epochs}"
        )
    if not 0 <= plan.participation <= 1:
        raise ValueError(f"participation={plan.participation} must lie between 0 and 1: 0.1 picks a tenth a round")
    if not 0 < plan.learning_rate < float("inf"):
        raise ValueError(f"learning_rate={plan.learning_rate} must be above 0 and finite, for example 0.1")
    if plan.exchange != "server" and plan.participation < 1:
        raise ValueError(
            f"participation={plan.participation} needs exchange='server': in an {plan.exchange!r} exchange "
            "everyone takes part"
        )
    for name in _WITH_A_SERVER:
        if getattr(plan, name) and plan.exchange != "server":
            raise ValueError(f"{name}={getattr(plan, name)!r} needs exchange='server', not {plan.exchange!r}")
    if plan.strategy is not None:
        _check_strategy(plan, plan.strategy)
    if plan.compression and plan.exchange == "none":
        raise ValueError(
            f"compression={plan.compression!r} needs exchange='server' or 'all-reduce': without an exchange nothing is sent"
        )
    if plan.compression and type(plan.strategy or Strategy()).message_size is not Strategy.message_size:
        raise ValueError(
            f"compression={plan.compression!r} packs plain updates, but with {plan.strategy!r} clients send more or less "
            "than that: use one or the other"
        )
    if not 0 <= plan.client_momentum < 1:
        raise ValueError(f"client_momentum={plan.client_momentum} must lie in [0, 1), for example 0.9")
    if plan.aggregation is not None and plan.strategy is not None and plan.strategy.by_examples:
        raise ValueError(
            f"aggregation={plan.aggregation!r} gives every client the same say, but {plan.strategy!r} keeps a mean by examples: "
            "use one or the other"
        )
    if plan.secure_aggregation is not None:
        _check_secure_aggregation(plan)
    _check_privacy(plan)
    if plan.asynchronous is not None:
        _check_asynchronous(plan, plan.asynchronous)
    if plan.exchange == "none" and plan.data != "pooled":
        raise ValueError("exchange='none' needs data='pooled': one machine trains on everything")


# What a strategy may do to the messages themselves, on their way to a server.
_TO_MESSAGES = ("client", "download", "message_size", "read", "personal")


def _check_strategy(plan: "Plan", strategy: Strategy) -> None:
    """Without a server, everybody takes the same step with the same mean; what a client does differently needs one."""
    if plan.data == "pooled" and not strategy.one_model:
        raise ValueError(
            f"strategy={strategy!r} needs data='stays': it leaves parts of the model with whoever owns the data"
        )
    if plan.exchange == "server":
        return
    changed = [name for name in _TO_MESSAGES if getattr(type(strategy), name) is not getattr(Strategy, name)]
    if plan.exchange == "none" or changed or strategy.by_examples:
        why = f"its {changed[0]} is its own" if changed else "it steps with the mean of several"
        raise ValueError(f"strategy={strategy!r} needs exchange='server', not {plan.exchange!r}: {why}")


def _check_privacy(plan: "Plan") -> None:
    if plan.budget is not None and plan.privacy is None:
        raise ValueError(f"budget={plan.budget!r} needs privacy=...: without noise the first round exceeds it")
    if plan.steps_by is not None and plan.strategy is not None and not plan.strategy.by_steps:
        raise ValueError(
            f"strategy={plan.strategy!r} sends something of its clients' losses, which private steps do not hide: use another"
        )
    if not isinstance(plan.privacy, UserLevel):
        return
    if plan.exchange != "server":
        raise ValueError(f"privacy={plan.privacy!r} hides clients, and needs exchange='server', not {plan.exchange!r}")
    for name, why in (
        ("fleet", "its cohorts are drawn as the accountant assumes, each client by itself"),
        ("aggregation", "its noise is measured for a sum over clients"),
        ("compression", "what packing does to a message comes after it is clipped, and may make it longer"),
    ):
        if getattr(plan, name):
            raise ValueError(f"{name}={getattr(plan, name)!r} does not go with {plan.privacy!r}: {why}")
    if plan.privacy.noise_by == "server" and plan.required > 1:
        raise ValueError(
            f"required={plan.required} does not go with noise by the server: a round counts whoever comes, because skipping "
            "one would tell how large its secret cohort was"
        )
    if plan.privacy.noise_by == "clients" and not plan.secure_aggregation:
        raise ValueError(
            "noise_by='clients' needs secure_aggregation: a server that sees single messages sees each with little noise"
        )
    strategy = plan.strategy or Strategy()
    if strategy.by_examples or strategy.message_size(8) != 8 or type(strategy).read is not Strategy.read:
        raise ValueError(
            f"strategy={strategy!r} sends more than an update, or weighs by examples: it does not go with {plan.privacy!r}"
        )


def _check_secure_aggregation(plan: "Plan") -> None:
    for name, why in (
        ("aggregation", "a rule that stands attackers has to see single messages"),
        ("compression", "packed messages do not add up"),
        ("faults", "nobody could tell a message that is none, or leave it out"),
    ):
        if getattr(plan, name):
            raise ValueError(f"{name}={getattr(plan, name)!r} does not go with secure_aggregation: {why}")
    strategy = plan.strategy or Strategy()
    if strategy.by_examples or type(strategy).read is not Strategy.read:
        raise ValueError(f"strategy={strategy!r} does not go with secure_aggregation: its server reads single messages")


def _check_asynchronous(plan: "Plan", by: Asynchronous) -> None:
    """Out of step, no two messages of a step need to have begun together, nor be based on the same weights."""

    def refuse(what: str, why: str) -> None:
        raise ValueError(f"{what} does not go with {by!r}: {why}")

    if plan.secure_aggregation is not None:
        refuse("secure_aggregation", "those who mask their messages together have to begin and end together")
    if isinstance(plan.privacy, UserLevel):
        refuse(f"privacy={plan.privacy!r}", "the accountant assumes a cohort drawn for each round, not whoever is done")
    if any(stage.together for stage in plan.stages):
        refuse(f"attack={plan.attack!r}", "who crafts messages together has to have them at the same time")
    strategy = plan.strategy or Strategy()
    if type(strategy).read is not Strategy.read:
        refuse(
            f"strategy={strategy!r}", "its server reads a message by what it knows now, not by what the client was told"
        )
    if by.shorten and type(strategy).message_size is not Strategy.message_size:
        refuse(f"strategy={strategy!r}", "its clients send more than an update, which shorten=True would scale as well")
    if by.exponent and plan.aggregation is not None:
        refuse(
            f"aggregation={plan.aggregation!r}",
            "every message then has the same say, however late; leave exponent at 0",
        )
    if by.order is not None and plan.participation < 1:
        refuse(
            f"participation={plan.participation}",
            "an order of arrivals tells who was given what only where all take part",
        )
    least = max(plan.required, plan.aggregation.least if plan.aggregation else 1)
    if least > by.buffer:
        refuse(f"at least {least} messages a step", "with a smaller buffer every step would be skipped")
