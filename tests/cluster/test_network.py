"""Under torchrun, a process finds the interface that reaches the others, or says what to set."""

import os

import psutil
import pytest

from course_lib.cluster import network, transport


@pytest.fixture(autouse=True)
def two_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    """What torchrun tells a process whose only peer is on another machine."""
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "to be undone")
    monkeypatch.delenv("GLOO_SOCKET_IFNAME")
    for name, value in {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "1"}.items():
        monkeypatch.setenv(name, value)


def test_one_machine_stays_on_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    network.use()
    assert os.environ["GLOO_SOCKET_IFNAME"] == transport.LOOPBACK_INTERFACE


def test_what_the_caller_has_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "ib0")
    network.use()
    assert os.environ["GLOO_SOCKET_IFNAME"] == "ib0"


def test_the_master_itself_takes_the_interface_that_has_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    addresses = {
        one.address: name
        for name, found in psutil.net_if_addrs().items()
        for one in found
        if one.family.name == "AF_INET" and name != transport.LOOPBACK_INTERFACE
    }
    if not addresses:
        pytest.skip("this machine has no network but loopback")
    for address, name in addresses.items():
        monkeypatch.setenv("MASTER_ADDR", address)
        network.use()
        assert os.environ.pop("GLOO_SOCKET_IFNAME") == name


@pytest.mark.parametrize(
    ("master", "said"),
    [
        ("127.0.0.1", r"'127.0.0.1' is this machine's own 127.0.0.1, which no other machine reaches: give torchrun"),
        ("no-such-host.invalid", r"no way to the master 'no-such-host.invalid'.*or set GLOO_SOCKET_IFNAME to"),
    ],
)
def test_a_master_that_cannot_be_reached_is_named_with_what_to_set(monkeypatch, master, said) -> None:
    monkeypatch.setenv("MASTER_ADDR", master)
    with pytest.raises(RuntimeError, match=said):
        network.use()
