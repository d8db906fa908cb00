"""Where a body ends: by its length, or with the connection (RFC 9112 section 6.3). Chunks are in `chunked`."""

from typing import Protocol

MORE = -1


class Framing(Protocol):
    """Follows a body. `clean_ending` are bytes that end it early for the client.

    None: nothing can end it, or the client would take a part of the body for the whole.
    """

    def feed(self, data: bytes, at: int) -> int:
        """Where in `data`, read from `at` on, the body ends; MORE if it does not. Raises ProtocolError."""

    def passed(self, data: bytes, at: int, stop: int) -> bytes:
        """The bytes that are passed on for this part of `data`, which was fed last."""

    @property
    def clean_ending(self) -> bytes | None: ...


class Sized:
    """A body of `length` bytes, at least one."""

    __slots__ = ("_left",)

    clean_ending = None

    def __init__(self, length: int) -> None:
        self._left = length

    def feed(self, data: bytes, at: int) -> int:
        here = len(data) - at
        if here < self._left:
            self._left -= here
            return MORE
        return at + self._left

    def passed(self, data: bytes, at: int, stop: int) -> bytes:
        return data[at:stop]


class UntilClose:
    """A reply that ends with the app's connection."""

    __slots__ = ()

    @property
    def clean_ending(self) -> bytes:
        return b""

    def feed(self, data: bytes, at: int) -> int:  # noqa: ARG002 - a Framing
        return MORE

    def passed(self, data: bytes, at: int, stop: int) -> bytes:
        return data[at:stop]
