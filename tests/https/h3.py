"""Asks over HTTP/3, and prints the reply. Usage: python h3.py HOST ROOTS [BYTES]. With BYTES, posts so many."""

import asyncio
import ssl
import sys

from aioquic.asyncio.client import connect
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, H3Event, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import QuicEvent


class Client(QuicConnectionProtocol):
    def begin(self) -> None:
        self.http = H3Connection(self._quic)
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.body = b""
        self.status = b""

    def quic_event_received(self, event: QuicEvent) -> None:
        for each in self.http.handle_event(event) if hasattr(self, "http") else ():
            self._take(each)

    def _take(self, event: H3Event) -> None:
        if isinstance(event, HeadersReceived):
            self.status = dict(event.headers)[b":status"]
        if isinstance(event, DataReceived):
            self.body += event.data
        if isinstance(event, HeadersReceived | DataReceived) and event.stream_ended and not self.done.done():
            self.done.set_result(None)

    async def ask(self, host: str, size: int) -> None:
        stream = self._quic.get_next_available_stream_id()
        method = b"POST" if size else b"GET"
        fields = [(b":method", method), (b":scheme", b"https"), (b":authority", host.encode()), (b":path", b"/")]
        self.http.send_headers(stream, [*fields, (b"content-length", str(size).encode())], end_stream=not size)
        if size:
            self.http.send_data(stream, bytes(size), end_stream=True)
        self.transmit()
        await self.done


async def main(host: str, roots: str, size: int) -> None:
    configuration = QuicConfiguration(is_client=True, alpn_protocols=H3_ALPN, server_name=host)
    configuration.verify_mode = ssl.CERT_REQUIRED
    configuration.load_verify_locations(roots)
    async with connect(host, 443, configuration=configuration, create_protocol=Client) as client:
        assert isinstance(client, Client)
        client.begin()
        await asyncio.wait_for(client.ask(host, size), 20)
        print(client.status.decode())
        print(client.body.decode())


asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 0))
