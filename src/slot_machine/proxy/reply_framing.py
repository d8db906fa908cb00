"""How the body of a reply ends, on the app's connection and on the client's."""

from slot_machine.proxy.chunked import LAST_CHUNK, REPLY_LINES, Chunked, chunk
from slot_machine.proxy.framing import Framing, Sized, UntilClose
from slot_machine.proxy.heads import reply
from slot_machine.proxy.heads.reply import BODYLESS, ReplyHead
from slot_machine.proxy.heads.request import RequestHead


class Decoded(Chunked):
    """Chunks, for a client of HTTP/1.0: it gets their data, and the end of its connection is the reply's."""

    __slots__ = ("_data",)

    def __init__(self) -> None:
        self._data: list[bytes] = []
        super().__init__(reply.TRAILERS, self._data, REPLY_LINES)

    @property
    def clean_ending(self) -> bytes | None:
        return b"" if self.between_chunks else None

    def passed(self, data: bytes, at: int, stop: int) -> bytes:  # noqa: ARG002 - a Framing
        part = b"".join(self._data)
        self._data.clear()
        return part


class Encoded(UntilClose):
    """A reply that ends with the app's connection. The client gets it in chunks, so that its own may stay open."""

    __slots__ = ()

    @property
    def clean_ending(self) -> bytes:
        return LAST_CHUNK

    def passed(self, data: bytes, at: int, stop: int) -> bytes:
        return chunk(data[at:stop])


def reply_framing(request: RequestHead, head: ReplyHead) -> Framing | None:
    """None for a reply without a body (RFC 9112 section 6.3)."""
    if request.method == b"HEAD" or head.status in BODYLESS or head.length == 0:
        return None
    if head.length is not None:
        return Sized(head.length)
    if head.chunked:
        return Chunked(reply.TRAILERS, lines=REPLY_LINES) if request.http_1_1 else Decoded()
    return Encoded() if request.http_1_1 else UntilClose()
