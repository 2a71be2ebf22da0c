"""Strategies for clients that differ. Each overrides the step of federated averaging that its paper changes."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from course_lib.federated.strategy import LocalWork, State, Strategy

__all__ = ["FedNova", "FedOpt", "FedProx", "QFedAvg", "Scaffold", "Strategy"]


def _at_least(value: float, lowest: float, name: str, advice: str) -> None:
    if not lowest <= value < float("inf"):
        raise ValueError(f"{name}={value} must be at least {lowest:g} and finite: {advice}")


@dataclass(frozen=True)
class FedProx(Strategy):
    """FedProx (Li et al. 2020, arXiv 1812.06127, equation 2): a client pays mu/2 x squared distance from the server's model.

    `mu=0` is federated averaging. Raises ValueError for a negative or infinite mu.
    """

    mu: float = 0.1

    def __post_init__(self) -> None:
        _at_least(self.mu, 0, "mu", "0 is federated averaging, and 0.01 to 1 is usual")

    def client(self, received: Tensor, state: State, work: LocalWork) -> tuple[Tensor, State]:
        return work.train(received, lambda theta: self.mu * (theta - received)), state


@dataclass(frozen=True)
class Scaffold(Strategy):
    """SCAFFOLD with option II (Karimireddy et al. 2020, arXiv 1910.06378, algorithm 1).

    Each step of client i is corrected by c - c_i: the way everybody goes, minus the way this client goes. A client counts by
    its examples, the same in every round: only then does c stay the mean of all c_i.

    `uplink`: with "both", as published, control variates double every message. With "update" clients send their update alone:
    the change of c_i follows from it and from the number of steps, so the server works it out (Huang et al. 2024, arXiv
    2308.08165). The result is the same up to rounding, but all clients must do the work that was asked of them, no part of it.
    `server_rate` is the paper's eta_g. Raises ValueError for a rate that is not above 0, or another uplink.
    """

    by_examples: ClassVar[bool] = True
    server_rate: float = 1.0
    uplink: Literal["both", "update"] = "both"

    def __post_init__(self) -> None:
        if self.uplink not in ("both", "update"):
            raise ValueError(f"uplink={self.uplink!r} must be 'both' or 'update'")
        if not 0 < self.server_rate < float("inf"):
            raise ValueError(f"server_rate={self.server_rate} must be above 0 and finite: 1 takes the mean as it is")

    @property
    def needs_whole_work(self) -> bool:
        return self.uplink == "update"

    def server_start(self, theta: Tensor) -> State:
        return {"control": torch.zeros_like(theta)}

    def download(self, theta: Tensor, server: State) -> Tensor:
        return torch.cat([theta, server["control"]])

    def client(self, received: Tensor, state: State, work: LocalWork) -> tuple[Tensor, State]:
        theta, control = received.chunk(2)
        own = state.get("control", torch.zeros_like(control))
        drift = control - own
        delta = work.train(theta, lambda _: drift)
        renewed = own - control - delta / (work.steps * work.rate)
        message = delta if self.uplink == "update" else torch.cat([delta, renewed - own])
        return message, state | {"control": renewed}

    def message_size(self, weights: int) -> int:
        return weights if self.uplink == "update" else 2 * weights

    def read(self, message: Tensor, server: State, steps: int, rate: float) -> Tensor:
        if self.uplink == "both":
            return message
        return torch.cat([message, -server["control"] - message / (steps * rate)])

    def server(self, theta: Tensor, mean: Tensor, server: State, share: float) -> tuple[Tensor, State]:
        delta, change = mean.chunk(2)
        return theta + self.server_rate * delta, {"control": server["control"] + share * change}

    def personal(self, received: Tensor, state: State, work: LocalWork) -> Tensor:
        return received.chunk(2)[0]


@dataclass(frozen=True)
class FedNova(Strategy):
    """FedNova (Wang et al. 2020, arXiv 2007.07481, equation 6, plain local SGD): clients send their change per local step.

    A client that takes more steps then no longer pulls the model towards itself. With equal steps it is federated averaging.
    """

    def client(self, received: Tensor, state: State, work: LocalWork) -> tuple[Tensor, State]:
        steps = torch.tensor([float(work.steps)])
        return torch.cat([work.train(received) / steps, steps]), state

    def message_size(self, weights: int) -> int:
        return weights + 1

    def server(self, theta: Tensor, mean: Tensor, server: State, share: float) -> tuple[Tensor, State]:
        return theta + mean[-1] * mean[:-1], server


@dataclass(frozen=True)
class QFedAvg(Strategy):
    """q-FedAvg (Li et al. 2020, arXiv 1905.10497, algorithm 2): clients with a high loss count more, the more so the larger q.

    The paper's L is 1 / learning rate; every vector here is the paper's divided by L. `q=0` is federated averaging.
    Raises ValueError for a negative or infinite q.
    """

    by_steps: ClassVar[bool] = False
    q: float = 1.0

    def __post_init__(self) -> None:
        _at_least(self.q, 0, "q", "0 is federated averaging, and 0.1 to 5 is usual")

    def client(self, received: Tensor, state: State, work: LocalWork) -> tuple[Tensor, State]:
        # A loss of exactly 0 would make 0 ** (q - 1) infinite for q < 1.
        loss = max(work.loss(received), 1e-10) if self.q else 1.0
        delta = work.train(received)
        slope = self.q * loss ** (self.q - 1) * float(delta.double().square().sum()) / work.rate
        return torch.cat([loss**self.q * delta, torch.tensor([slope + loss**self.q])]), state

    def message_size(self, weights: int) -> int:
        return weights + 1

    def server(self, theta: Tensor, mean: Tensor, server: State, share: float) -> tuple[Tensor, State]:
        return theta + mean[:-1] / mean[-1], server


@dataclass(frozen=True)
class FedOpt(Strategy):
    """Adaptive federated optimisation (Reddi et al. 2021, arXiv 2003.00295, algorithm 2): the server takes the clients' mean
    change for a gradient, and steps with an optimiser of its own.

    `optimiser`: "sgd" (with `beta1` as momentum, the paper's FedAvgM), "adagrad", "adam" or "yogi". `server_rate`: the
    paper's eta; `tau`: its degree of adaptivity. By default "sgd" has rate 1 and no momentum, which is federated averaging; the
    others have rate 0.01 and `beta1` 0.9. "adam" corrects the bias of its first rounds as in Kingma and Ba 2015 (arXiv
    1412.6980, algorithm 1), which the paper leaves out.
    Raises ValueError for an unknown optimiser and for settings out of range.
    """

    optimiser: Literal["sgd", "adagrad", "adam", "yogi"] = "adam"
    # None stands for what suits the optimiser, and is replaced by it.
    server_rate: float | None = None
    beta1: float | None = None
    beta2: float = 0.99
    tau: float = 1e-3

    def __post_init__(self) -> None:
        rate, beta1 = self._settled()
        object.__setattr__(self, "server_rate", rate)
        object.__setattr__(self, "beta1", beta1)
        if self.optimiser not in ("sgd", "adagrad", "adam", "yogi"):
            raise ValueError(f"optimiser={self.optimiser!r} is unknown: use 'sgd', 'adagrad', 'adam' or 'yogi'")
        if not 0 < rate < float("inf"):
            raise ValueError(f"server_rate={rate} must be above 0 and finite, for example 0.01")
        for name, value in (("beta1", beta1), ("beta2", self.beta2)):
            if not 0 <= value < 1:
                raise ValueError(f"{name}={value} must be at least 0 and below 1, for example 0.9")
        if not 0 < self.tau < float("inf"):
            raise ValueError(f"tau={self.tau} must be above 0 and finite: 0.001 is usual")

    def _settled(self) -> tuple[float, float]:
        """Return `server_rate` and `beta1`, or what suits the optimiser in the place of one that is not given."""
        rate, beta1 = (1.0, 0.0) if self.optimiser == "sgd" else (0.01, 0.9)
        return rate if self.server_rate is None else self.server_rate, beta1 if self.beta1 is None else self.beta1

    def server_start(self, theta: Tensor) -> State:
        zero = torch.zeros_like(theta)
        return {"momentum": zero} if self.optimiser == "sgd" else {"momentum": zero, "second": zero, "rounds": zero[:1]}

    def server(self, theta: Tensor, mean: Tensor, server: State, share: float) -> tuple[Tensor, State]:
        rate, beta1 = self._settled()
        if self.optimiser == "sgd":
            momentum = beta1 * server["momentum"] + mean
            return theta + rate * momentum, {"momentum": momentum}
        momentum = beta1 * server["momentum"] + (1 - beta1) * mean
        second, square = server["second"], mean.square()
        if self.optimiser == "adagrad":
            second = second + square
        elif self.optimiser == "adam":
            second = self.beta2 * second + (1 - self.beta2) * square
        else:
            second = second - (1 - self.beta2) * square * torch.sign(second - square)
        rounds = server["rounds"] + 1
        if self.optimiser == "adam":
            done = int(rounds)
            rate *= (1 - self.beta2**done) ** 0.5 / (1 - beta1**done)
        step = rate * momentum / (second.sqrt() + self.tau)
        return theta + step, {"momentum": momentum, "second": second, "rounds": rounds}
