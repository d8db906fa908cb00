"""The API's Unix socket in the data folder: whoever may write to the file may do all that the API can."""

import logging
import socket
from pathlib import Path

from slot_machine.host.network.control_socket import bound

NAME = "api.sock"

log = logging.getLogger(__name__)


def taken_over(data: Path, handed: socket.socket | None) -> socket.socket | None:
    """What an earlier image of the daemon `handed` over, if clients find it; else a new one, in place of a stale one.

    None where there can't be one, which is logged.
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
