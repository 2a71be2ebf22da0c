"""Training out of step: a server that goes on without those who are late.

`settings`: how far out of step; `ledger`: who was given which version, whose message makes a step; `arrivals`: an order of arrivals,
simulated or recorded, and what it comes to round by round. `rounds.fit` carries out what was settled; `rounds.live` lets the processes
of this machine settle it themselves.
"""

from course_lib.distributed.asynchronous.settings import Asynchronous

__all__ = ["Asynchronous"]
