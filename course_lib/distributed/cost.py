"""What a run costs: machine hours, bytes and energy, from what it has recorded, at prices that anybody can edit.

Machines are rented where one owner holds the data: one for each worker, paid from the first second to the last, whether it computes or
waits. Where the data stays, one machine is rented, the server; clients compute on devices that they have anyway, and pay for the
electricity. A rented machine's electricity is in its price.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from course_lib.settings import real

if TYPE_CHECKING:
    from course_lib.rounds.run import Run

GB = 1e9
_JOULES_A_KWH = 3.6e6
_RAPL = Path("/sys/class/powercap")

# Where the defaults come from. They are examples of the right order, for you to edit, and no offer of anybody's.
SOURCES = {
    "machine_hour": "AWS c5.large on demand, 2 vCPU: a quarter of the c5.2xlarge's 0.34 US dollars (example of AWS's Auto Scaling guide, 2026)",
    "gb_inside": "between two zones of AWS, 0.01 US dollars each way (list price, June 2026); within one zone it is free",
    "gb_out": "from AWS to the internet, up to 10 TB a month (list price, June 2026)",
    "gb_in": "from the internet to AWS (list price, June 2026)",
    "gb_device": "a flat rate; a mobile plan by volume may ask for several dollars",
    "kwh": "EU households with taxes, 0.2872 euros, second half of 2024 (Eurostat)",
    "watts": "one busy virtual processor at AWS (Cloud Carbon Footprint, AWS constants, 2022)",
    "idle_watts": "one idle virtual processor at AWS (Cloud Carbon Footprint, AWS constants, 2022)",
    "kwh_per_gb": "networks (Cloud Carbon Footprint, 2022)",
}


@dataclass(frozen=True)
class Prices:
    """The price table, in one currency; `SOURCES` says where the examples come from.

    `machine_hour`: a rented machine for an hour. `gb_inside`: a gigabyte (1e9 bytes) between rented machines, `gb_out` and `gb_in`: from
    and to them over the internet, `gb_device`: over a client's own link, either way. `kwh`: a kilowatt hour.
    `watts`, `idle_watts`: of a processor that computes, and that does not; `kwh_per_gb`: energy of the network.
    Raises ValueError for a figure that is not a finite number of at least 0.
    """

    machine_hour: float = 0.085
    gb_inside: float = 0.02
    gb_out: float = 0.09
    gb_in: float = 0.0
    gb_device: float = 0.0
    kwh: float = 0.29
    watts: float = 3.5
    idle_watts: float = 0.74
    kwh_per_gb: float = 0.001

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not 0 <= real(value, name) < float("inf"):
                raise ValueError(f"{name}={value} must be a finite number of at least 0: 0 is free")


@dataclass(frozen=True)
class Bill:
    """What a run costs. `machines` rented, for `machine_hours` together; `gigabytes` sent; `kwh` used, by `energy_from`.

    `rent`, `network` and `electricity` are amounts of money, and `total` is their sum.
    """

    machines: int
    machine_hours: float
    gigabytes: float
    kwh: float
    energy_from: str
    rent: float
    network: float
    electricity: float

    @property
    def total(self) -> float:
        return self.rent + self.network + self.electricity

    def per_point(self, accuracy: float, without: float = 0.0) -> float:
        """Return the price of one point of accuracy (0 to 1) above what costs nothing, such as guessing.

        Raises ValueError where the run is no better than that, and for an accuracy in per cent.
        """
        if accuracy > 1:
            raise ValueError(f"accuracy={accuracy} is above 1: pass a share, such as 0.9 for 90%")
        if not accuracy > without:
            raise ValueError(f"accuracy={accuracy} is not above {without}, which costs nothing: no point was bought")
        return self.total / (100 * (accuracy - without))


@dataclass(frozen=True)
class Usage:
    """What a run used, before anybody asks for a price; plain numbers, so that a study can store them.

    `central`: whether one owner holds the data. `machines` are rented for `seconds` each, and compute `busy` seconds together (in
    federated learning it is the clients' devices that do). Bytes `inward` came over the internet, `others` went out over it, or
    between rented machines. `joules`: what processors used, where it was measured. Raises ValueError for a figure that is not a finite
    number of at least 0.
    """

    central: bool
    machines: int
    seconds: float
    busy: float
    inward: float
    others: float
    joules: float | None = None

    def __post_init__(self) -> None:
        for name in ("machines", "seconds", "busy", "inward", "others", "joules"):
            value = getattr(self, name)
            if not (name == "joules" and value is None) and not 0 <= real(value, name) < float("inf"):
                raise ValueError(f"{name}={value} must be a finite number of at least 0")

    def bill(self, prices: Prices | None = None) -> Bill:
        """Return what it costs."""
        prices = prices or Prices()
        hours, into, others = self.machines * self.seconds / 3600, self.inward / GB, self.others / GB
        idle = max(0.0, self.seconds * self.machines - self.busy)
        estimated = self.busy * prices.watts + idle * prices.idle_watts
        between, devices = (prices.gb_inside, into) if self.central else (prices.gb_out, into + others)
        return Bill(
            machines=self.machines, machine_hours=hours, gigabytes=into + others,
            kwh=(estimated if self.joules is None else self.joules) / _JOULES_A_KWH + prices.kwh_per_gb * (into + others),
            energy_from="processor time" if self.joules is None else "RAPL", rent=prices.machine_hour * hours,
            network=into * prices.gb_in + others * between + devices * prices.gb_device,
            electricity=0.0 if self.central else prices.kwh * self.busy * prices.watts / _JOULES_A_KWH,
        )  # fmt: skip


def usage(
    run: "Run", *, rounds: int | None = None, seconds: float | None = None, joules: float | None = None
) -> Usage:  # fmt: skip
    """Return what a run used.

    `rounds`: only up to an evaluated round, such as `run.rounds_to(0.9)`; time then counts in the proportion of `history.seconds`.
    `seconds`: how long the machines are up, if not as long as here, such as the simulated seconds of real devices.
    `joules`: energy that was measured (see `rapl_joules`); by default a bill estimates it from processor time and watts.
    Raises ValueError for a round that was not evaluated.
    """
    history, timeline, traffic = run.history, run.timeline, run.traffic
    share = 1.0
    if rounds is not None:
        if rounds not in set(history["round"]):
            raise ValueError(f"rounds={rounds} was not evaluated: take one of {history['round'].tolist()[:10]}")
        share = float(history.loc[history["round"] == rounds, "seconds"].iloc[0] / history["seconds"].iloc[-1])
        traffic = traffic[traffic["round"] <= rounds]
    spans = timeline["end"] - timeline["start"]
    sent = traffic[traffic["kind"] != "evaluation"]
    inward = sent["sender"].str.startswith("client")
    central = run.plan.data == "pooled"
    return Usage(
        central, run.workers if central and run.plan.exchange != "none" else 1,
        share * float(timeline["end"].max() - timeline["start"].min()) if seconds is None else seconds,
        share * float(spans[timeline["activity"] == "computing"].sum()),
        float(sent.loc[inward, "bytes"].sum()), float(sent.loc[~inward, "bytes"].sum()), joules,
    )  # fmt: skip


def rapl_joules(folder: Path = _RAPL) -> float | None:
    """Return what the processors of this machine have used since some moment, by their own counters (RAPL); None where there are none.

    Take the difference of two calls. The counters start anew after some minutes, and count all that the machine does.
    """
    counters = [path for path in folder.glob("intel-rapl:*/energy_uj") if path.parent.name.count(":") == 1]
    try:
        return sum(int(path.read_text()) for path in counters) / 1e6 if counters else None
    except OSError:  # there, but not for us to read
        return None
