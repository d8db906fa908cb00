"""The app of these tests. It answers every request with its version, and exits at once on SIGTERM."""

import asyncio
import os
import sys

VERSION = "v1"
FAULT = ""
"""`exits`: at once. `sick`: answers its health check with 500."""


class Visit(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport, self._read = transport, b""

    def data_received(self, data: bytes) -> None:
        self._read += data
        head, found, body = self._read.partition(b"\r\n\r\n")
        fields = head.lower().split(b"\r\n")
        if not found or len(body) < sum(int(field[15:]) for field in fields if field.startswith(b"content-length:")):
            return
        self._read = b""
        sick = FAULT == "sick" and head.startswith(b"GET /healthz ")
        status = "500 Internal Server Error" if sick else "200 OK"
        self._transport.write(f"HTTP/1.1 {status}\r\nContent-Length: {len(VERSION)}\r\n\r\n{VERSION}".encode())
        if b"connection: close" in fields:
            self._transport.close()


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(Visit, "0.0.0.0", int(os.environ["PORT"]), backlog=512)
    print(f"{VERSION} listens", flush=True)
    await server.serve_forever()


if FAULT == "exits":
    sys.exit("does not want to")
asyncio.run(main())
