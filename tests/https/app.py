"""An app behind the edge: says how a request came, counts bodies, streams, and echoes WebSockets."""

import asyncio
import base64
import hashlib
import os
import sys

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
VERSION = os.environ.get("SLOT_MACHINE_COMMIT", "none").encode()


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            await answer(head, reader, writer)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError, EOFError):
        pass
    finally:
        writer.close()


async def answer(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    fields = {name.lower(): value for name, _, value in (line.partition(b": ") for line in head.split(b"\r\n")[1:])}
    if b"sec-websocket-key" in fields:
        accept = base64.b64encode(hashlib.sha1(fields[b"sec-websocket-key"] + GUID).digest())
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n")
        writer.write(b"Sec-WebSocket-Accept: " + accept + b"\r\nX-Version: " + VERSION + b"\r\n\r\n")
        while True:  # Masked frames of up to 125 bytes, sent back as they were.
            frame = await reader.readexactly(2)
            masked = await reader.readexactly(4 + (frame[1] & 0x7F))
            plain = bytes(byte ^ masked[place % 4] for place, byte in enumerate(masked[4:]))
            writer.write(bytes((frame[0], len(plain))) + plain)
    if head.startswith(b"GET /events"):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"9\r\ndata: x\n\n\r\n")
            await writer.drain()
            await asyncio.sleep(0.5)
    size = int(fields.get(b"content-length", b"0"))
    left = size
    while left:
        piece = await reader.read(min(left, 1 << 20))
        if not piece:
            raise EOFError
        left -= len(piece)
    body = head + b"version %b\nreceived %d\n" % (VERSION, size)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))


async def main() -> None:
    server = await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[1]))
    print("listens", flush=True)
    await server.serve_forever()


asyncio.run(main())
