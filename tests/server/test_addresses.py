"""Whom a request counts for; nobody gets another window by writing headers."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dslkit.server.addresses import LOCAL, Client, client_of

PROXIES = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))


def client(peer: str, trusted: tuple[object, ...] = PROXIES, **headers: str) -> Client:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return client_of(peer, named.get, trusted)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("peer", "headers", "expected"),
    [
        ("198.51.100.7", {}, "198.51.100.7"),
        ("198.51.100.7", {"X_Forwarded_For": "203.0.113.9"}, "198.51.100.7"),
        ("198.51.100.7", {"X_Real_IP": "203.0.113.9"}, "198.51.100.7"),
        ("10.1.2.3", {"X_Forwarded_For": "203.0.113.9"}, "203.0.113.9"),
        ("10.1.2.3", {"X_Real_IP": "203.0.113.9"}, "203.0.113.9"),
        ("10.1.2.3", {"X_Forwarded_For": "1.1.1.1, 203.0.113.9"}, "203.0.113.9"),
        ("10.1.2.3", {"X_Forwarded_For": "1.1.1.1, 203.0.113.9, 10.9.9.9"}, "203.0.113.9"),
        ("10.1.2.3", {"X_Forwarded_For": "10.9.9.9"}, "10.9.9.9"),
        ("10.1.2.3", {"X_Forwarded_For": "203.0.113.9", "X_Real_IP": "1.1.1.1"}, "203.0.113.9"),
        ("10.1.2.3", {"X_Forwarded_For": "203.0.113.9, nonsense"}, "10.1.2.3"),
        ("10.1.2.3", {"X_Forwarded_For": "203.0.113.9:4711"}, "203.0.113.9"),
        ("10.1.2.3", {"X_Forwarded_For": "[2001:db8::1]:4711"}, "2001:db8::1"),
        ("10.1.2.3", {"X_Forwarded_For": ""}, "10.1.2.3"),
        ("10.1.2.3", {"X_Real_IP": "nonsense"}, "10.1.2.3"),
        ("::ffff:10.1.2.3", {"X_Forwarded_For": "203.0.113.9"}, "203.0.113.9"),
        ("::ffff:198.51.100.7", {}, "198.51.100.7"),
        ("fd00::1", {"X_Forwarded_For": "2001:db8::7"}, "2001:db8::7"),
        ("fe80::1%eth0", {}, "fe80::1"),
        ("", {}, LOCAL),
    ],
)
def test_the_client_is(peer: str, headers: dict[str, str], expected: str) -> None:
    assert client(peer, **headers).name == expected


def test_without_trusted_proxies_headers_mean_nothing() -> None:
    assert client("10.1.2.3", (), X_Forwarded_For="203.0.113.9", X_Real_IP="203.0.113.9").name == "10.1.2.3"


@given(forwarded=st.text(st.characters(codec="ascii", exclude_categories=("Cc",)), max_size=60))
def test_nothing_that_is_put_before_the_last_hop_changes_the_client(forwarded: str) -> None:
    assert client("10.1.2.3", X_Forwarded_For=f"{forwarded},203.0.113.9").name == "203.0.113.9"


def test_an_ipv6_network_of_64_bits_is_one_client() -> None:
    first, second = client("2001:db8:1:2::1"), client("2001:db8:1:2:ffff::9")
    assert first.number == second.number
    assert first.name != second.name
    assert client("2001:db8:1:3::1").number != first.number


def test_ipv4_and_ipv6_never_share_a_number() -> None:
    assert client("0.0.0.1").number != client("0:0:0:1::").number
