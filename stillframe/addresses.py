"""Which addresses may be reached on somebody's behalf: public ones, and networks that a setting allows."""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

#: The way of IPv6 hosts to IPv4 ones; the last 32 bits say to which.
_NAT64 = IPv6Network("64:ff9b::/96")
#: Public by their numbers, to this or that version of Python, and yet a cloud's or a network's own.
_OWN: tuple[Network, ...] = (
    IPv4Network("168.63.129.16/32"),
    IPv4Network("192.0.0.0/24"),
    IPv6Network("64:ff9b:1::/48"),
    IPv6Network("3fff::/20"),
    IPv6Network("fec0::/10"),
)


def networks(text: str) -> tuple[Network, ...]:
    """`10.0.0.0/8, 192.168.1.5`; raises ValueError."""
    return tuple(ip_network(part.strip()) for part in text.split(",") if part.strip())


def is_allowed(text: str, allowed: Sequence[Network]) -> bool:
    """Whether the address is in one of the networks."""
    address = _meant(text)
    return any(address in network for network in allowed if network.version == address.version)


def is_public(text: str) -> bool:
    """Whether an address is anybody's: not private, loopback, link-local, multicast, reserved, or a cloud's metadata."""
    address = _meant(text)
    anybodys = address.is_global and not address.is_multicast and not address.is_reserved
    return anybodys and not is_allowed(text, _OWN)


def why_not(addresses: Sequence[str], allowed: Sequence[Network], *, secure: bool) -> str | None:
    """What keeps a host from being sent to that has these addresses; None if nothing does for one of them."""
    if any(is_allowed(one, allowed) or (secure and is_public(one)) for one in addresses):
        return None
    plain = not secure and any(map(is_public, addresses))
    # Where a name leads is not told: names of this network would be looked up for whoever makes webhooks.
    return "is not encrypted; use https" if plain else "is not public"


def _meant(text: str) -> Address:
    """The address behind one that only wraps it."""
    address = ip_address(text.partition("%")[0])
    if isinstance(address, IPv6Address):
        if address in _NAT64:
            return IPv4Address(int(address) & 0xFFFFFFFF)
        wrapped = address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)
        return wrapped or address
    return address
