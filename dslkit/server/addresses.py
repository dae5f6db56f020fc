"""Who is asking: the peer of the connection, or whom a trusted proxy says it asks for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

LOCAL = "local socket"  # the peer of a Unix socket has no address
_HOPS = 32  # more proxies than that are nobody's


@dataclass(frozen=True, slots=True)
class Client:
    """``name`` as the log shows it, ``number`` as the limiter counts it: an IPv6 network of 64 bits is one client."""

    name: str
    number: int


def client_of(peer: str, header: Callable[[str], str | None], trusted: Sequence[Network]) -> Client:
    """The client of a request that came from ``peer``; headers count when a proxy of ``trusted`` sent them.

    ``X-Forwarded-For`` is read from its end, where our own proxies wrote, up to the first that is none of them: what
    stands before that is hearsay.
    """
    if not trusted or not _within(peer, tuple(trusted)):
        return _client(peer)
    chain = header("X-Forwarded-For")
    if not chain:
        named = _address((header("X-Real-IP") or "").strip())
        return _client(str(named)) if named else _client(peer)
    client = peer
    for hop in reversed(chain.split(",")[-_HOPS:]):
        address = _address(hop.strip())
        if address is None:
            break
        client = str(address)
        if not _within(client, tuple(trusted)):
            break
    return _client(client)


@lru_cache(maxsize=4096)
def _within(peer: str, networks: tuple[Network, ...]) -> bool:
    address = _address(peer)
    return address is not None and any(address in network for network in networks)


@lru_cache(maxsize=4096)
def _client(name: str) -> Client:
    address = _address(name)
    if address is None:
        return Client(LOCAL, 0)
    if isinstance(address, IPv4Address):
        return Client(str(address), int(address))
    return Client(str(address), (1 << 64) | int(address) >> 64)


@lru_cache(maxsize=16_384)
def _address(text: str) -> Address | None:
    """An address, also with a port or in brackets as some proxies write it; one of IPv4 within IPv6 is that of IPv4."""
    bare = text
    if text.startswith("["):
        bare = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        bare = text.partition(":")[0]
    try:
        address = ip_address(bare.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
