"""The sockets that servers listen on, in clusters of either family of addresses and of both.

`::` takes connections of both: asyncio and `http.server` alone would open it to IPv6 only, and `0.0.0.0` answers
nobody in a cluster that has no IPv4. Where the node has no IPv6, `::` means every IPv4 address.
"""

from __future__ import annotations

import errno
import socket

from traceplane.errors import GiveUp

ANY = "::"


def listener(host: str, port: int) -> socket.socket:
    """A listening TCP socket; port 0 takes any free one. GiveUp says what keeps it from being one."""
    try:
        if host == ANY:
            return _both(port)
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, *_, address = found[0]
        return socket.create_server((str(address[0]), port), family=family)
    except OSError as error:
        raise GiveUp(f"cannot listen on {host} port {port}: {error.strerror or error}") from error


def _both(port: int) -> socket.socket:
    if socket.has_dualstack_ipv6():
        try:
            return socket.create_server((ANY, port), family=socket.AF_INET6, dualstack_ipv6=True)
        except OSError as error:
            # A kernel that knows IPv6 may have no such address to give: net.ipv6.conf.all.disable_ipv6.
            if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                raise
    return socket.create_server(("0.0.0.0", port))
