"""What git and its `proc-receive` hook say to each other, in pkt-lines (githooks(5), gitprotocol-common(5))."""

from collections.abc import Iterator, Mapping
from typing import BinaryIO, NamedTuple

VERSION = b"version=1"
FEATURES = ("push-options", "atomic")
LONGEST = 65_520
LONGEST_REASON = 200


class Broken(Exception):
    """It is not git that speaks."""


class Update(NamedTuple):
    ref: str
    old: str
    new: str


class Push(NamedTuple):
    updates: tuple[Update, ...]
    options: tuple[str, ...]
    atomic: bool


def read_push(received: BinaryIO, sent: BinaryIO) -> Push:
    """Raises Broken."""
    first, _, offered = next(lines(received), b"").partition(b"\0")
    if first.strip() != VERSION:
        raise Broken(f"git speaks another version of its protocol: {first[:40]!r}")
    for _ in lines(received):
        pass
    features = [name for name in FEATURES if name in offered.decode().split()]
    send(sent, VERSION + b"\0" + " ".join(features).encode(), None)
    updates = tuple(_update(line) for line in lines(received))
    options = tuple(line.decode(errors="replace") for line in lines(received)) if "push-options" in features else ()
    return Push(updates, options, "atomic" in features)


def send_results(sent: BinaryIO, updates: tuple[Update, ...], reasons: Mapping[str, str], done: str) -> None:
    """`reasons` says by ref why it is refused. `done` is the one that has been updated; git updates all others."""
    for update in updates:
        ref = update.ref.encode(errors="surrogateescape")
        if reason := reasons.get(update.ref):
            send(sent, b"ng " + ref + b" " + one_line(reason).encode(errors="replace"))
        elif update.ref == done:
            send(sent, b"ok " + ref)
        else:
            send(sent, b"ok " + ref, b"option fall-through")
    send(sent, None)


def one_line(text: str) -> str:
    first = text.strip().partition("\n")[0].strip() or "refused"
    return first if len(first) <= LONGEST_REASON else f"{first[:LONGEST_REASON]}..."


def lines(received: BinaryIO) -> Iterator[bytes]:
    """Until the next flush packet or the end. Raises Broken."""
    while head := received.read(4):
        try:
            length = int(head, 16)
        except ValueError:
            raise Broken(f"no pkt-line: {head!r}") from None
        if length == 0:
            return
        line = received.read(length - 4) if 4 <= length <= LONGEST else b""
        if len(line) != length - 4:
            raise Broken("git has ended")
        yield line.removesuffix(b"\n")


def send(sent: BinaryIO, *packets: bytes | None) -> None:
    """None is a flush packet."""
    sent.writelines(b"0000" if packet is None else _framed(packet) for packet in packets)
    sent.flush()


def _framed(packet: bytes) -> bytes:
    return f"{len(packet) + 4:04x}".encode() + packet


def _update(line: bytes) -> Update:
    old, new, ref = line.decode(errors="surrogateescape").split(" ", 2)
    return Update(ref, old, new)
