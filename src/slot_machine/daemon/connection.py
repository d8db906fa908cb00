"""A client's connection to the API: one request after another, each with its reply. The HTTP/1.1 is h11's."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from http import HTTPStatus
from socket import socket
from typing import NamedTuple, Protocol, cast

import h11

MOST_A_READ = 16_384
"""A client's bytes are parsed without a pause for others, so few are taken at once."""
LARGEST_HEAD = 32_768
LARGEST_BODY = 65_536
HEAD_WITHIN_S = 75.0
BODY_WITHIN_S = 30.0
READ_WITHIN_S = 60.0
"""The client must read a piece of a reply within this time, because others may wait for its connection."""
LINGER_S = 2.0
"""The rest of a refused request is read for this time. A client that is cut off while it sends may miss the reply."""

NO_FIELDS: Mapping[str, str] = {}


class HttpError(Exception):
    """The request gets this status. `allow` names the methods that are allowed for a 405."""

    def __init__(self, status: HTTPStatus, allow: str = "") -> None:
        super().__init__(status.phrase)
        self.status = status
        self.allow = allow


class Response(NamedTuple):
    """A body that is generated is sent piece by piece. Its generator is closed when the client has left."""

    status: int
    body: bytes | AsyncGenerator[bytes, None]
    content_type: str
    fields: Mapping[str, str] = NO_FIELDS


class Request:
    """`target` and `fields` are as they came, but for the names of fields, which are in lower case."""

    def __init__(self, head: h11.Request, connection: "Connection") -> None:
        self.method = head.method.decode()
        self.target = head.target.decode()
        self.fields = [(name.decode(), value.decode("latin-1")) for name, value in head.headers]
        self._connection = connection

    def all(self, name: str) -> list[str]:
        """The values of all fields of that name."""
        return [value for given, value in self.fields if given == name]

    def first(self, name: str) -> str:
        return next(iter(self.all(name)), "")

    async def body(self) -> bytes:
        """Raises HttpError for one that is too large, malformed, or too late."""
        return await self._connection.body()

    async def read(self, take: Callable[[bytes], object], largest: int) -> None:
        """Passes the body to `take`, piece by piece, and keeps nothing of it. Raises HttpError like `body`."""
        await self._connection.read(take, largest)

    async def left(self) -> None:
        """Returns when the client has closed its side of the connection. Call `body` before."""
        await self._connection.left()

    @property
    def socket(self) -> socket | None:
        """None once the client has left."""
        return self._connection.socket


class Site(Protocol):
    """It answers the requests."""

    async def answer(self, request: Request, /) -> Response: ...

    def refuse(self, error: HttpError, /) -> Response: ...


class Owner(Protocol):
    """It bounds the number of connections and what they do in an iteration of the event loop."""

    def came(self, connection: "Connection", /) -> None: ...

    async def turn(self) -> None: ...

    def went(self, connection: "Connection", /) -> None: ...


class Connection(asyncio.BufferedProtocol):
    """`answering`: from the head of a request to the end of its reply. `served`: it has had a reply."""

    _transport: asyncio.Transport
    _inbox = memoryview(bytearray(MOST_A_READ))
    """Of all connections: what is read is copied at once."""

    def __init__(self, site: Site, owner: Owner) -> None:
        self.answering = False
        self.served = False
        self._awaits_body = False
        self._site = site
        self._owner = owner
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=LARGEST_HEAD - MOST_A_READ)
        self._last = False
        self._lingers = False
        self._received = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._closed = asyncio.Event()

    @property
    def socket(self) -> socket | None:
        return None if self._transport.is_closing() else self._transport.get_extra_info("socket")

    @property
    def makes_room(self) -> bool:
        """Whether nothing is being answered, or the answer waits for the client, who sends slowly or does not read."""
        return not self.answering or self._awaits_body or not self._writable.is_set()

    def abort(self) -> None:
        self._transport.abort()

    def finish(self) -> None:
        """Closes it after the request that is being answered. If there was no request so far, one may come."""
        self._last = True
        if self.served and not self.answering and not self._http.trailing_data[0]:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._owner.came(self)

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002
        for event in (self._closed, self._received, self._writable):
            event.set()
        self._owner.went(self)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002
        return self._inbox

    def buffer_updated(self, nbytes: int) -> None:
        if not self._lingers:
            # No more is read than what is asked for.
            self._transport.pause_reading()
            self._http.receive_data(bytes(self._inbox[:nbytes]))
            self._received.set()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    async def serve(self) -> None:
        """Returns when the connection is closed."""
        try:
            while await self._serve_one() and not self._last:
                self._http.start_next_cycle()
                await self._owner.turn()
            if self._http.their_state not in (h11.DONE, h11.MUST_CLOSE):
                await self._linger()
            self._transport.close()
            async with asyncio.timeout(READ_WITHIN_S):
                await self._closed.wait()
        except (ConnectionError, TimeoutError):
            pass
        finally:
            self._transport.abort()

    async def _serve_one(self) -> bool:
        """Returns whether another request may follow. Raises ConnectionError, TimeoutError."""
        head_only = False
        try:
            async with asyncio.timeout(HEAD_WITHIN_S):
                head = await self._next_event()
            assert isinstance(head, h11.Request)
            self.answering = True
            head_only = head.method == b"HEAD"
            response = await self._answer(Request(head, self))
        except h11.RemoteProtocolError as error:
            response = self._site.refuse(HttpError(HTTPStatus(error.error_status_hint)))
        try:
            self._skip_body()
            await self._send(response, head_only=head_only)
        finally:
            self.answering, self.served = False, True
        return self._http.our_state is self._http.their_state is h11.DONE

    async def _answer(self, request: Request) -> Response:
        """Raises ConnectionError if the client has left.

        A proxy may take one of two lengths where h11 takes the other (RFC 9112, section 6.1). A visitor of that proxy
        could then hide a second request in the body. So that request is refused, and the connection ends.
        """
        if request.all("content-length") and request.all("transfer-encoding"):
            self._last = True
            return self._site.refuse(HttpError(HTTPStatus.BAD_REQUEST))
        return await self._site.answer(request)

    async def body(self) -> bytes:
        """Raises HttpError."""
        body = bytearray()
        await self.read(body.extend, LARGEST_BODY)
        return bytes(body)

    async def read(self, take: Callable[[bytes], object], largest: int) -> None:
        """Raises HttpError."""
        size = 0
        self._awaits_body = True
        try:
            async with asyncio.timeout(BODY_WITHIN_S):
                while not isinstance(event := await self._next_event(), h11.EndOfMessage):
                    if isinstance(event, h11.Data):
                        size += len(event.data)
                        if size > largest:
                            raise HttpError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
                        take(bytes(event.data))
        except TimeoutError:
            raise HttpError(HTTPStatus.REQUEST_TIMEOUT) from None
        except h11.RemoteProtocolError as error:
            raise HttpError(HTTPStatus(error.error_status_hint)) from None
        finally:
            self._awaits_body = False

    async def left(self) -> None:
        # The end of a connection is noticed only by reading. A request that comes meanwhile stops that, and is kept.
        self._transport.resume_reading()
        await self._closed.wait()

    async def _next_event(self) -> h11.Event:
        """Raises RemoteProtocolError, ConnectionError."""
        while (event := self._http.next_event()) is h11.NEED_DATA:
            if self._http.they_are_waiting_for_100_continue:
                self._transport.write(self._http.send(h11.InformationalResponse(status_code=100, headers=[])) or b"")
            self._raise_if_closed()
            self._received.clear()
            self._transport.resume_reading()
            await self._received.wait()
            await self._owner.turn()
            self._raise_if_closed()
        return cast(h11.Event, event)

    def _skip_body(self) -> None:
        """Skips the part of the body that has come. If that is the whole body, another request may follow."""
        try:
            while self._http.their_state is h11.SEND_BODY and self._http.next_event() is not h11.NEED_DATA:
                pass
        except h11.RemoteProtocolError:
            pass

    async def _send(self, response: Response, *, head_only: bool) -> None:
        """Raises ConnectionError, and TimeoutError for a client that does not read."""
        status, body, content_type, more = response
        now = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime())
        fields = [("Date", now), ("Content-Type", content_type), *more.items()]
        if isinstance(body, bytes):
            fields.append(("Content-Length", str(len(body))))
        if self._last or self._http.their_state is not h11.DONE:
            fields.append(("Connection", "close"))
        head = h11.Response(status_code=status, headers=fields, reason=HTTPStatus(status).phrase)
        begun = self._http.send(head) or b""
        if isinstance(body, bytes):
            await self._write(begun + self._http.send(h11.Data(b"" if head_only else body)) + self._end())
            return
        async with aclosing(body):
            async for piece in body:
                await self._write(begun + self._http.send(h11.Data(piece)))
                begun = b""
        await self._write(begun + self._end())

    def _end(self) -> bytes:
        return self._http.send(h11.EndOfMessage()) or b""

    async def _write(self, data: bytes) -> None:
        self._raise_if_closed()
        self._transport.write(data)
        async with asyncio.timeout(READ_WITHIN_S):
            await self._writable.wait()

    def _raise_if_closed(self) -> None:
        if self._closed.is_set():
            raise ConnectionResetError

    async def _linger(self) -> None:
        self._lingers = True
        self._transport.write_eof()
        self._transport.resume_reading()
        async with asyncio.timeout(LINGER_S):
            await self._closed.wait()
