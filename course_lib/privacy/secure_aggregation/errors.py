"""What ends a secure aggregation, by name."""


class RefusedError(ValueError):
    """A party got something that it must not act on. `client`: whose doing it was, or whom it was about."""

    def __init__(self, client: int, problem: str) -> None:
        super().__init__(f"client {client}: {problem}")
        self.client, self.problem = client, problem

    def __reduce__(self) -> "tuple[type[RefusedError], tuple[int, str]]":  # so that it travels between processes
        return type(self), (self.client, self.problem)


class UnexpectedMessageError(RefusedError):
    """A message at the wrong stage, twice, or from somebody who is not part of this stage."""


class WrongLengthError(RefusedError):
    """A message that is not as long as this stage's messages are."""


class ReplayedKeyError(RefusedError):
    """A public key that was used before, or by two clients, or that is not the one which the client advertised."""


class WrongShareError(RefusedError):
    """A share that is not the one which its owner dealt, or one that was changed on the way."""


class BothSharesError(RefusedError):
    """A request for the shares of a client's mask key and of its self mask: together they bare its vector."""


class AbortedError(RuntimeError):
    """Too few clients are left: the round ends without a sum, and nobody reveals anything more."""
