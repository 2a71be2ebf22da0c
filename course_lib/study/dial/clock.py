"""How long a run would take on other devices and links than these: a documented simulation, not a measurement.

Everybody has the same device and the same link, whoever coordinates, and computing and sending take turns. A participant's own link is
the bottleneck: the server's is taken to be wide enough for all at once. A message takes half a round trip and its bytes over the link;
a round ends with its slowest participant, which is the one that holds most. Cryptography and the adding of noise take no time.
"""

from dataclasses import dataclass

import numpy as np

from course_lib.federated.participation import LAPTOP, PHONE, Device

_REFERENCE = 50_000  # multiplications forward for which a device's `speed` is meant


@dataclass(frozen=True)
class Profile:
    """A kind of device with its link. `latency`: seconds from one end to the other.

    `device.speed`: SGD steps a second on ten examples through a model of 50,000 multiplications.
    """

    title: str
    device: Device
    latency: float

    def computing(self, examples: float, multiplications: int) -> float:
        """Return the seconds that one device takes for the gradients of so many examples, one batch of ten after the other."""
        return examples / 10 * multiplications / _REFERENCE / self.device.speed

    def there_and_back(self, upload: float, download: float) -> float:
        """Return the seconds from a server's message to the answer, without the work between."""
        return 2 * self.latency + download / self.device.downlink + upload / self.device.uplink

    def around(self, participants: int, sent: float) -> float:
        """Return the seconds of a ring all-reduce: 2 (n - 1) messages one after the other, `sent` bytes in all from each worker."""
        return 2 * (participants - 1) * self.latency + sent / self.device.uplink


# Orders of magnitude: 10 gigabit Ethernet in one room; home offices and a phone network as `federated.participation` has them.
PROFILES = {
    "datacentre": Profile("data centre", Device("server", speed=5000, uplink=1.25e9, downlink=1.25e9), 5e-5),
    "office": Profile("offices", LAPTOP, 0.02),
    "phones": Profile("phones", PHONE, 0.05),
}


@dataclass(frozen=True, eq=False)
class Course:
    """What happens in a run, as far as its duration goes.

    `work: (rounds,)`: the gradients of the participant that computes most in a round. `exchange`: "none", "all-reduce", "server",
    "asynchronous", "neighbours" or "silos". `sent`: bytes from a participant in a round, `received`: to it. `trips`: how often the server
    and it talk to and fro in a round. `moved`: bytes of raw data that the largest owner sends before the first round, `dealt`: that a
    worker gets. In silos of `members` workers each sends `inside` bytes a step on a link of a data centre, and after `every` steps a silo
    sends and receives.
    """

    work: np.ndarray
    exchange: str
    participants: int
    multiplications: int
    sent: float
    received: float
    trips: int = 1
    moved: float = 0.0
    dealt: float = 0.0
    members: int = 1
    inside: float = 0.0
    every: int = 1


def seconds(course: Course, on: Profile) -> np.ndarray:
    """Return the simulated seconds `(rounds,)` from the start to the end of each round."""
    each = np.array([on.computing(examples, course.multiplications) for examples in course.work])
    if course.exchange == "all-reduce":
        each += on.around(course.participants, course.sent)
    elif course.exchange == "neighbours":
        each += on.latency + course.sent / on.device.uplink
    elif course.exchange == "silos":
        each += PROFILES["datacentre"].around(course.members, course.inside)
        each[course.every - 1 :: course.every] += on.there_and_back(course.sent, course.received)
    elif course.exchange != "none":
        each += on.there_and_back(course.sent, course.received) + 2 * (course.trips - 1) * on.latency
    if (
        course.exchange == "asynchronous"
    ):  # everybody is at work all the time, and one of them is done in every n-th part of it
        each /= course.participants
    if course.exchange == "silos":  # raw data stays inside a silo
        on = PROFILES["datacentre"]
    start = 0.0
    if course.moved:
        start = on.latency + course.moved / on.device.uplink
    if course.dealt:
        start += on.latency + course.dealt / on.device.downlink
    return start + np.cumsum(each)
