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
    address: Address | None


_LOCAL = Client(LOCAL, 0, None)


def client_of(peer: str, header: Callable[[str], str | None], trusted: Sequence[Network]) -> Client:
    """The client of a request that came from ``peer``; headers count when a proxy of ``trusted`` sent them.

    ``X-Forwarded-For`` is read from its end, where our own proxies wrote, up to the first that is none of them: what
    stands before that is hearsay.
    """
    client = _named(peer) or _LOCAL
    if not _within(client, trusted):
        return client
    chain = header("X-Forwarded-For")
    if not chain:
        return _named((header("X-Real-IP") or "").strip()) or client
    for hop in reversed(chain.split(",")[-_HOPS:]):
        named = _named(hop.strip())
        if named is None:
            break
        client = named
        if not _within(client, trusted):
            break
    return client


def _within(client: Client, networks: Sequence[Network]) -> bool:
    return client.address is not None and any(client.address in network for network in networks)


@lru_cache(maxsize=16_384)
def _named(text: str) -> Client | None:
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
    address = getattr(address, "ipv4_mapped", None) or address
    number = int(address) if isinstance(address, IPv4Address) else (1 << 64) | int(address) >> 64
    return Client(str(address), number, address)
