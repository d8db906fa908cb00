"""`POST /run`: in which folder, environment and with whose rights a client may run a command in a version's tree."""

import json
import os
import socket
import struct

import msgspec

from slot_machine.app.one_offs import OneOffs, Surroundings, Wish
from slot_machine.core.errors import BadRequest, Forbidden
from slot_machine.daemon.connection import Request, Response
from slot_machine.daemon.replies import JSON, Routes, decoded
from slot_machine.host.user import rights

CREDENTIALS = "iii"
"""Of SO_PEERCRED: pid, uid and gid (unix(7))."""


class RunBody(msgspec.Struct):
    """The fields of `Wish`."""

    program: str = ""
    process: str = ""
    previous: bool = False


class OneOffStatus(msgspec.Struct):
    """`started_at` is RFC 3339 in UTC."""

    pid: int
    program: str
    slot: str
    commit: str
    started_at: str


def routes(one_offs: OneOffs) -> Routes:
    async def run(request: Request) -> Response:
        """Only over the socket in the data folder, because the environment has the app's secrets."""
        pid = _client(request)
        body = decoded(await request.body() or b"{}", RunBody, '{"program": "rails", "process": "", "previous": false}')
        try:
            begun = one_offs.begin(pid, Wish(body.program, body.process, body.previous))
        except ProcessLookupError as error:
            raise BadRequest(f"the client can't be seen from here: {error}") from None
        # Bytes that are no text in the locale are lone surrogates, which msgspec refuses.
        return Response(200, json.dumps(_told(begun)).encode(), JSON)

    return {"/run": ("POST", run)}


def status(one_offs: OneOffs) -> list[OneOffStatus]:
    return [
        OneOffStatus(one.identity.pid, one.program, one.version.slot, one.version.commit, one.started_at)
        for one in one_offs.running()
    ]


def _client(request: Request) -> int:
    """The pid of the process that asks. Raises Forbidden."""
    connection = request.socket
    if connection is None or connection.family != socket.AF_UNIX:
        raise Forbidden(
            "the environment of the app is told only over the socket api.sock in the data folder",
            "use `slot-machine run` on this machine",
        )
    size = struct.calcsize(CREDENTIALS)
    pid, _, _ = struct.unpack(CREDENTIALS, connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
    return int(pid)


def _told(begun: Surroundings) -> dict[str, object]:
    user = rights.other()
    return {
        "success": True,
        "slot": begun.version.slot,
        "commit": begun.version.commit,
        "folder": str(begun.folder),
        "environment": begun.environment,
        "uid": user.uid if user else os.geteuid(),
        "gid": user.gid if user else os.getegid(),
        "groups": list(user.groups if user else os.getgroups()),
        "umask": rights.umask(),
    }
