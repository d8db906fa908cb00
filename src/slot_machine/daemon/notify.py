"""`POST /notify/test`."""

from slot_machine.app.notices import Notices
from slot_machine.daemon.connection import Request, Response
from slot_machine.daemon.replies import Routes, in_json


def routes(notices: Notices) -> Routes:
    async def test(_: Request) -> Response:
        return in_json({"success": True, "notify": await notices.test()}, 200)

    return {"/notify/test": ("POST", test)}
