"""Which addresses receivers may be at, and that calls go to no other."""

import socket
import time
from ipaddress import ip_address
from typing import Any

import pytest

from qualitrace_collector.config import ConfigError, parse_config
from qualitrace_monitors.config import Config
from qualitrace_monitors.http_client.address_guard import refusal
from qualitrace_monitors.notify.receiver import DeliveryFailed, Notification
from qualitrace_monitors.notify.receivers import Receiver

NAME = "hooks.example.com"


def receiver(url: str, **settings: object) -> Receiver:
    return parse_config({"notify": {"ops": {"url": url, **settings}}}, Config).notify["ops"]


def deliver(to: Receiver) -> None:
    to.deliver(Notification(id="msg_1", receiver="ops", body="{}", created_at=0.0, due_at=0.0, attempts=0), time.time())


@pytest.fixture
def resolve(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let a name have addresses, as the DNS of an attacker says."""
    real = socket.getaddrinfo

    def resolve_to(*addresses: str) -> None:
        def answer(host: Any, port: Any, *args: Any, **named: Any) -> Any:
            if host != NAME:
                return real(host, port, *args, **named)
            return [entry for address in addresses for entry in real(address, port, *args, **named)]

        monkeypatch.setattr(socket, "getaddrinfo", answer)

    return resolve_to


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("169.254.169.254", "link-local"),
        ("169.254.0.1", "link-local"),
        ("::ffff:169.254.169.254", "link-local"),
        ("2002:a9fe:a9fe::1", "link-local"),
        ("64:ff9b::a9fe:a9fe", "link-local"),
        ("fe80::1", "link-local"),
        ("fd00:ec2::254", "a cloud's metadata service"),
        ("100.100.100.200", "a cloud's metadata service"),
        ("0.0.0.0", "this host"),
        ("::", "this host"),
        ("127.0.0.1", "loopback"),
        ("127.8.9.10", "loopback"),
        ("::1", "loopback"),
        ("::ffff:127.0.0.1", "loopback"),
        ("::127.0.0.1", "loopback"),
        ("10.1.2.3", ""),
        ("192.168.1.2", ""),
        ("93.184.216.34", ""),
        ("fd12:3456::1", ""),
        ("2606:4700::1111", ""),
    ],
)
def test_a_name_may_not_lead_inside(address: str, why: str) -> None:
    """Loopback, link-local and metadata addresses are refused in each of their forms; private networks are not."""
    assert refusal(NAME, ip_address(address)) == why


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.1.1", "::1", "localhost", "LOCALHOST.", "a.localhost"])
def test_loopback_that_the_configuration_names_is_meant(host: str) -> None:
    """The operator's own word counts, for loopback alone."""
    assert refusal(host, ip_address("127.0.0.1")) == ""
    assert refusal(host, ip_address("169.254.169.254")) == "link-local"


@pytest.mark.parametrize(
    "host", ["169.254.169.254", "[fd00:ec2::254]", "[::ffff:169.254.169.254]", "0.0.0.0", "0xA9FEA9FE", "2852039166"]
)
def test_an_address_inside_is_a_mistake_unless_allowed(host: str) -> None:
    """check-config refuses it, however it is written, with the remedy."""
    with pytest.raises(ConfigError) as caught:
        receiver(f"http://{host}/latest")
    [mistake] = caught.value.mistakes
    assert mistake.startswith("notify.ops: url: ")
    assert mistake.endswith("; set allow_local: true if that is meant")
    receiver(f"http://{host}/latest", allow_local=True)


def test_a_name_that_resolves_to_loopback_gets_nothing(webhook_receiver: Any, resolve: Any) -> None:
    """Not even a connection; the reason names the address and the remedy, the problem for others neither."""
    resolve("127.0.0.1")
    url = f"http://{NAME}:{webhook_receiver.port}/hook"
    with pytest.raises(
        DeliveryFailed, match=f"{NAME} is at 127.0.0.1, which is loopback: .*allow_local: true"
    ) as caught:
        deliver(receiver(url))
    assert caught.value.problem == "its address is not allowed: see the log"
    assert webhook_receiver.received == []
    deliver(receiver(url, allow_local=True))
    [(headers, _)] = webhook_receiver.received
    assert headers["host"] == f"{NAME}:{webhook_receiver.port}"


def test_the_connection_goes_to_the_address_that_was_checked(webhook_receiver: Any, monkeypatch: pytest.MonkeyPatch):
    """A name that changes its address between two questions is asked once."""
    real, answers = socket.getaddrinfo, iter(["203.0.113.7", "127.0.0.1"])

    def answer(host: Any, *args: Any, **named: Any) -> Any:
        return real(next(answers) if host == NAME else host, *args, **named)

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    with pytest.raises(DeliveryFailed):
        deliver(receiver(f"http://{NAME}:{webhook_receiver.port}/hook", timeout="300ms"))
    assert webhook_receiver.received == []
    assert next(answers) == "127.0.0.1"


def test_of_several_addresses_those_inside_are_left_out(webhook_receiver: Any, resolve: Any) -> None:
    """What is allowed is tried; loopback would have answered."""
    resolve("127.0.0.1", "203.0.113.7")
    with pytest.raises(DeliveryFailed) as caught:
        deliver(receiver(f"http://{NAME}:{webhook_receiver.port}/hook", timeout="300ms"))
    assert caught.value.problem != "its address is not allowed: see the log"
    assert webhook_receiver.received == []
