"""An app for all kinds of visitors: GET, POST, slow requests and WebSockets, each answered with its version.

`behaviour.json` may have `fails`: the share of the requests for `/checkout` that it answers 500. It may have `writes`:
a file that gets the target of each POST, on a line. On SIGTERM it dies at once. Needs nothing but Python, so that it
starts soon.
"""

import asyncio
import base64
import hashlib
import json
import os
import random
from pathlib import Path

BEHAVIOUR = json.loads(Path("behaviour.json").read_text())
VERSION: bytes = BEHAVIOUR["version"].encode()
WRITES = os.open(BEHAVIOUR.get("writes", os.devnull), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
SLOW_S = 0.15
ACCEPT = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
"""RFC 6455 section 1.3."""
CLOSE, SHORTEST_LONG = 0x88, 126


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while await answer(reader, writer):
            await writer.drain()
    except (asyncio.IncompleteReadError, OSError):
        pass
    finally:
        writer.close()


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """Of one request. Returns whether another one may follow on the connection."""
    lines = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")
    method, target, _ = lines[0].split()
    fields = {name.lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines[1:])}
    if b"sec-websocket-key" in fields:
        key = base64.b64encode(hashlib.sha1(fields[b"sec-websocket-key"] + ACCEPT).digest())
        switching = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        writer.write(switching + b"Sec-WebSocket-Accept: " + key + b"\r\n\r\n")
        await echo(reader, writer)
        return False
    await reader.readexactly(int(fields.get(b"content-length", b"0")))
    if method == b"POST":
        os.write(WRITES, target + b"\n")
    if target.startswith(b"/slow"):
        await asyncio.sleep(SLOW_S)
    failed = target.startswith(b"/checkout") and random.random() < BEHAVIOUR.get("fails", 0)
    status = b"500 Internal Server Error" if failed else b"200 OK"
    writer.write(b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n%b" % (status, len(VERSION), VERSION))
    return fields.get(b"connection", b"").lower() != b"close"


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Of short frames alone, each with its version before the message. Returns after a frame that closes."""
    while True:
        opcode, length = await reader.readexactly(2)
        mask = await reader.readexactly(4)
        payload = bytes(byte ^ mask[i % 4] for i, byte in enumerate(await reader.readexactly(length & 0x7F)))
        whole = payload if opcode == CLOSE else VERSION + b" " + payload
        assert len(whole) < SHORTEST_LONG
        writer.write(bytes((opcode, len(whole))) + whole)
        if opcode == CLOSE:
            return


async def main() -> None:
    server = await asyncio.start_server(serve, "127.0.0.1", int(os.environ["PORT"]), backlog=512)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
