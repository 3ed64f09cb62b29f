"""The socket that a server listens on, taken before anything heavy is loaded, so that a taken port is said at once."""

from __future__ import annotations

import socket

from dp2.errors import UsageError


def listen(host: str, port: int) -> socket.socket:
    """Listen on an address.

    Raises:
        UsageError: there is no such address here, or the port is taken.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        opened = socket.socket(family, socket.SOCK_STREAM)
        try:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            opened.bind(address)
            opened.listen(128)
        except BaseException:
            opened.close()
            raise
    except (OSError, UnicodeError) as error:
        raise UsageError(f"cannot listen on {host} port {port} ({error}); choose another --port or --host.") from error
    return opened
