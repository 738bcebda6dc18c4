"""Where other machines find this one. Nothing is sent to find out."""

import socket
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

EVERYWHERE = "0.0.0.0"
"""To listen on every address of this machine."""
IP = IPv4Address | IPv6Address
_SOMEWHERE = ((socket.AF_INET, "203.0.113.1"), (socket.AF_INET6, "2001:db8::1"))  # in nobody's network
_SIOCGIFADDR = 0x8915  # Linux: the IPv4 address of an interface


def lan_addresses() -> list[IP]:
    """The addresses of this machine on its networks, the likeliest first: private ones, and of these the one that
    leads outside. Loopback and link-local addresses are left out."""
    found = dict.fromkeys([*_outgoing(), *_of_interfaces(), *_of_name()])
    usable = [each for each in found if not (each.is_loopback or each.is_link_local or each.is_unspecified)]
    return sorted(usable, key=lambda each: (each.version, not each.is_private))


def local_name() -> str:
    """How this machine is called on a network where names are asked of all (mDNS)."""
    first = socket.gethostname().partition(".")[0].lower()
    return f"{first or 'localhost'}.local"


def in_address(host: str) -> str:
    """A host as it stands in a URL.

    Example:
        >>> in_address("fd00::2")
        '[fd00::2]'
    """
    return f"[{host}]" if ":" in host else host


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what is bound to this address."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def origin(address: str) -> str:
    """Whose doings count together. Whoever has an IPv6 address has the 2^64 beside it.

    Example:
        >>> origin("2001:db8::7")
        '2001:db8::/64'
    """
    try:
        known = ip_address(address)
    except ValueError:
        return address
    return str(ip_network((known, 64), strict=False)) if known.version == 6 else address


def _outgoing() -> list[IP]:
    """What this machine would send from. Connecting a datagram socket looks the way up, and sends nothing."""
    found = []
    for family, far in _SOMEWHERE:
        with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as asked:
            asked.connect((far, 9))
            found.append(ip_address(asked.getsockname()[0]))
    return found


def _of_interfaces() -> list[IP]:
    """The IPv4 address of each interface, where the system tells it as Linux does."""
    from fcntl import ioctl

    found: list[IP] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        for _, name in socket.if_nameindex():
            with suppress(OSError):
                told = ioctl(asked, _SIOCGIFADDR, name.encode()[:15].ljust(256, b"\0"))
                found.append(ip_address(told[20:24]))
    return found


def _of_name() -> list[IP]:
    try:
        return [
            ip_address(str(each[4][0]).partition("%")[0]) for each in socket.getaddrinfo(socket.gethostname(), None)
        ]
    except OSError:
        return []
