"""`GET /env_file`: where the variables of the app are, and whose rights count for that file."""

from slot_machine.app.opening import Options
from slot_machine.daemon.connection import Request, Response
from slot_machine.daemon.replies import Routes, in_json


def routes(options: Options) -> Routes:
    config = options.config.daemon
    path = str(options.config_file.parent / config.env_file) if config.env_file else ""
    told = {"success": True, "env_file": path, "user": config.user_name, "group": config.group_name}

    async def answer(_: Request) -> Response:
        return in_json(told, 200)

    return {"/env_file": ("GET", answer)}
