"""The API's Unix socket in the data folder. Whoever may write to that file may use the whole API."""

import logging
import socket
from pathlib import Path

from slot_machine.host.network.control_socket import bound

NAME = "api.sock"

log = logging.getLogger(__name__)


def taken_over(data: Path, handed: socket.socket | None) -> socket.socket | None:
    """The socket that the daemon `handed` over to itself in a reload, if its file still exists. Else a new one.

    None if none can be made; that is logged.
    """
    path = data / NAME
    if handed and path.is_socket():
        return handed
    if handed:
        handed.close()
    try:
        return bound(path)
    except OSError as error:
        log.error("cannot make %s, so all clients need the API's port: %s", path, error.strerror)
        return None
