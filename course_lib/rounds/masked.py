"""A round of a star in which the server learns the sum of its clients' messages and no single one."""

from collections.abc import Iterator, Mapping, Sequence
from math import gcd

from torch import Tensor

from course_lib.privacy.in_plans import SecureAggregation
from course_lib.privacy.secure_aggregation import AbortedError, Quantiser, Server, Settings
from course_lib.privacy.secure_aggregation.post import Post
from course_lib.privacy.secure_aggregation.protocol import play
from course_lib.rounds.exchange import NOT_FINITE, Answers, DivergedError, Train, Wire, is_finite


class _Trained(Mapping[int, tuple[Tensor, int]]):
    """Each hosted client's message and weight, which is trained for when it is asked for."""

    def __init__(self, wire: Wire, cohort: Sequence[int], weights: Mapping[int, int], train: Train) -> None:
        self._wire, self._train, self._weights = wire, train, weights
        self._hosted = [client for client in cohort if wire.hosts[client] == wire.rank]
        self.received: dict[int, Tensor] = {}

    def __getitem__(self, client: int) -> tuple[Tensor, int]:
        message: Tensor = self._train(client, self.received[client])
        if not is_finite(message):
            raise DivergedError(
                f"{self._wire.name(client)} has a message with {NOT_FINITE} in round {self._wire.recorder.round}, which nobody "
                "could leave out behind a mask: lower the learning rate, or look at that client's data"
            )
        return message, self._weights[client]

    def __iter__(self) -> Iterator[int]:
        return iter(self._hosted)

    def __len__(self) -> int:
        return len(self._hosted)


def through_masks(
    wire: Wire, download: Tensor, cohort: Sequence[int], weights: Mapping[int, float], train: Train, values: int,
    by: SecureAggregation,
) -> Answers | None:  # fmt: skip
    """Run one round: the server sends `download` to the cohort, and learns the mean of what those in `weights` answer, no more.

    `train` as for `through_server`; `values`: how many numbers a message holds. Those who are asked and not in `weights` drop out
    after they have dealt their shares. Returns the Answers on the server (process 0), None elsewhere; and everywhere Answers without
    a mean where fewer than the threshold stayed. Raises DivergedError for a message that is not finite.
    """
    whole = in_whole_numbers(weights)
    trained = _Trained(wire, cohort, whole, train)
    post = Post(wire.recorder, wire.channel, dict(enumerate(wire.hosts)))
    post.distribute(
        "model", cohort, lambda: dict.fromkeys(cohort, download), lambda k, m: trained.received.update({k: m})
    )
    threshold = min(len(cohort), int(by.threshold * len(cohort)) + 1)
    largest = max(whole.values(), default=1)
    settings = Settings(
        tuple(cohort), values, threshold, Quantiser.finest(by.bound, len(cohort), largest), largest, wire.recorder.round
    )
    dropped = {client: "share" for client in cohort if client not in weights}
    try:
        found = play(settings, dropped, by.insecure_seed, trained, post, Server(settings))
    except AbortedError as error:
        return Answers(None, 0, {}, aborted=str(error))  # everybody knows, and forgets what it would have remembered
    if found is None:
        return None
    return Answers((found.total / found.weight).float(), len(found.survivors), {}, clipped=found.clipped)


def in_whole_numbers(weights: Mapping[int, float]) -> dict[int, int]:
    """Return weights in the same proportions, as small as they can be. Raises ValueError for those that are not whole."""
    if any(weight != int(weight) for weight in weights.values()):
        raise ValueError(
            f"weights={sorted(set(weights.values()))[:3]} must be whole numbers: behind a mask only those can be added"
        )
    common = gcd(*(int(weight) for weight in weights.values())) or 1
    return {client: int(weight) // common for client, weight in weights.items()}
