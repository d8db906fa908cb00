"""`POST /maintenance`."""

from typing import Literal

import msgspec

from slot_machine.app.maintenance import Maintenance
from slot_machine.daemon.connection import Request, Response
from slot_machine.daemon.replies import Routes, decoded, in_json


class MaintenanceBody(msgspec.Struct):
    on: bool
    message: str = ""


class MaintenanceStatus(msgspec.Struct):
    """`since` is RFC 3339 in UTC. `page`: the file of maintenance_page is sent, not the message."""

    message: str
    since: str
    page: bool


class MaintenanceReply(msgspec.Struct):
    success: bool
    maintenance: MaintenanceStatus | Literal[""]
    warnings: list[str]


def routes(maintenance: Maintenance) -> Routes:
    async def switch(request: Request) -> Response:
        body = decoded(await request.body(), MaintenanceBody, '{"on": true, "message": "back at 10:00"}')
        if body.on:
            await maintenance.begin(body.message)
        else:
            await maintenance.end()
        return in_json(MaintenanceReply(True, status(maintenance), maintenance.warnings), 200)

    return {"/maintenance": ("POST", switch)}


def status(maintenance: Maintenance) -> MaintenanceStatus | Literal[""]:
    """Empty if there is none."""
    notice = maintenance.notice
    return MaintenanceStatus(notice.message, notice.since, bool(notice.kind)) if notice else ""
