"""An app for WebSocket clients: sends each message back behind its version; over plain HTTP, answers with the version.

On SIGTERM it dies at once and says good-bye to nobody. `behaviour.json` may have it do more before: with `told`, write
the time to that file; with `farewell`, close each WebSocket with that reason.
"""

import asyncio
import json
import os
import signal
import time
from http import HTTPStatus
from pathlib import Path

from websockets.asyncio.server import ServerConnection, serve
from websockets.frames import CloseCode
from websockets.http11 import Request, Response

BEHAVIOUR = json.loads(Path("behaviour.json").read_text())
ANSWER_S = 0.005


async def echo(connection: ServerConnection) -> None:
    async for message in connection:
        await asyncio.sleep(ANSWER_S)
        await connection.send(f"{BEHAVIOUR['version']} {message!s}")


def answer(connection: ServerConnection, request: Request) -> Response | None:
    """None: it becomes a WebSocket."""
    return None if "Upgrade" in request.headers else connection.respond(HTTPStatus.OK, BEHAVIOUR["version"])


def note(*_: object) -> None:
    Path(BEHAVIOUR["told"]).write_text(str(time.monotonic()))
    os._exit(1)


async def main() -> None:
    async with serve(echo, "127.0.0.1", int(os.environ["PORT"]), process_request=answer) as server:
        if "farewell" not in BEHAVIOUR:
            await server.serve_forever()
        stopped = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
        await stopped.wait()
        for connection in server.connections:
            await connection.close(CloseCode.GOING_AWAY, BEHAVIOUR["farewell"])


if __name__ == "__main__":
    if "told" in BEHAVIOUR:
        signal.signal(signal.SIGTERM, note)
    asyncio.run(main())
