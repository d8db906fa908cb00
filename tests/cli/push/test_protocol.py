"""What git says to its hook, and what that answers."""

import contextlib
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slot_machine.cli.push import protocol
from slot_machine.cli.push.protocol import Broken, Push, Update

OLD, NEW = "1" * 40, "2" * 40


def packets(*lines: "bytes | None") -> bytes:
    sent = io.BytesIO()
    protocol.send(sent, *lines)
    return sent.getvalue()


def read(*lines: "bytes | None") -> tuple[Push, bytes]:
    sent = io.BytesIO()
    return protocol.read_push(io.BytesIO(packets(*lines)), sent), sent.getvalue()


def test_a_push_with_options() -> None:
    push, answer = read(
        b"version=1\0push-options atomic\n",
        None,
        f"{OLD} {NEW} refs/heads/main\n".encode(),
        f"{OLD} {NEW} refs/heads/wit\xe4h space\n".encode("latin-1"),
        None,
        b"wait\n",
        None,
    )

    assert [update.ref for update in push.updates] == ["refs/heads/main", "refs/heads/wit\udce4h space"]
    assert (push.updates[0].old, push.updates[0].new) == (OLD, NEW)
    assert (push.options, push.atomic) == (("wait",), True)
    assert answer == packets(b"version=1\0push-options atomic", None)


def test_a_push_without() -> None:
    push, answer = read(b"version=1", None, f"{OLD} {NEW} refs/heads/main".encode(), None)

    assert (push.options, push.atomic) == ((), False)
    assert answer == packets(b"version=1\0", None)


@pytest.mark.parametrize("said", [b"", b"GET / HTTP/1.1\r\n", b"000eversion=2\0", b"0014version=1", b"0003"])
def test_what_is_not_git_is_refused(said: bytes) -> None:
    with pytest.raises(Broken):
        protocol.read_push(io.BytesIO(said), io.BytesIO())


@given(st.binary(max_size=200))
def test_nothing_else_is_raised(said: bytes) -> None:
    with contextlib.suppress(Broken, ValueError):
        protocol.read_push(io.BytesIO(b"000dversion=1" + b"0000" + said), io.BytesIO())


def test_results() -> None:
    sent = io.BytesIO()
    updates = tuple(Update(f"refs/heads/{name}", OLD, NEW) for name in ("main", "bad", "dev"))
    protocol.send_results(sent, updates, {"refs/heads/bad": "is\nlong"}, "refs/heads/main")

    lines = (b"ok refs/heads/main", b"ng refs/heads/bad is", b"ok refs/heads/dev", b"option fall-through", None)
    assert sent.getvalue() == packets(*lines)


def test_a_reason_is_one_short_line() -> None:
    assert protocol.one_line("") == "refused"
    assert protocol.one_line("a\nb") == "a"
    assert len(protocol.one_line("x" * 1000)) < 210
