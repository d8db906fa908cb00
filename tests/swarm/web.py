"""A web app in the lab. It answers with its version, `/echo` with the request's head, `/slow` late; and WebSockets.

Variables: `VERSION`; `DELAY_S`, how long it goes on after SIGTERM, as the shim does; `ABRUPT`: it then exits at once.
"""

import asyncio
import base64
import hashlib
import os
import signal

PORT = 3000
SLOW_S = 4.0
VERSION = os.environ.get("VERSION", "")
GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            fields = {}
            for line in head.split("\r\n")[1:]:
                name, _, value = line.partition(":")
                fields[name.lower()] = value.strip()
            await reader.readexactly(int(fields.get("content-length", "0")))
            if key := fields.get("sec-websocket-key"):
                await echo(key, reader, writer)
                return
            if head.startswith("GET /slow"):
                await asyncio.sleep(SLOW_S)
            body = head if head.startswith("GET /echo") else VERSION
            writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode("latin-1"))
            await writer.drain()
    except (OSError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


async def echo(key: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """The bytes after the handshake, as they come."""
    accept = base64.b64encode(hashlib.sha1((key + GUID).encode()).digest()).decode()
    fields = f"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n"
    writer.write(f"HTTP/1.1 101 Switching Protocols\r\n{fields}\r\n".encode())
    while data := await reader.read(4096):
        writer.write(data)
        await writer.drain()


async def main() -> None:
    connections: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(serve(reader, writer))
        connections.add(task)
        task.add_done_callback(connections.discard)

    server = await asyncio.start_server(accept, "0.0.0.0", PORT)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()
    await asyncio.sleep(float(os.environ.get("DELAY_S", "0")))
    if os.environ.get("ABRUPT"):
        os._exit(0)
    server.close()
    await asyncio.gather(*connections)


if __name__ == "__main__":
    asyncio.run(main())
