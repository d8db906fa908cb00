"""The process that delivers a notice, with real servers: what each kind of answer, or none, comes to."""

import base64
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import apprise
import msgspec
import pytest

from slot_machine.host.notices import __main__ as process
from slot_machine.host.notices.order import MODULE, End, Order
from tests.listener import Listener

BODY = '{"event": "crashed"}'


@pytest.fixture
def server() -> Iterator[Listener]:
    with Listener() as listener:
        yield listener


def order(address: str) -> Order:
    return Order(address, "shop: crashed", "web ended", BODY)


def delivered(address: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", MODULE], input=msgspec.json.encode(order(address)), stdout=subprocess.PIPE, check=False
    )
    return done.returncode, done.stdout.decode()


def over(send: object, address: str) -> tuple[End, str]:
    assert callable(send)
    with pytest.raises(process.Over) as caught:
        send(order(address))
    return caught.value.end, str(caught.value)


def test_notice_is_posted_as_it_is(server: Listener) -> None:
    assert delivered(f"http://{server.address}/secret") == (End.DELIVERED, "")
    assert server.got == [BODY]


def test_user_and_password_of_an_address_go_into_a_field(server: Listener) -> None:
    assert delivered(f"http://ada:p%40ss@{server.address}/") == (End.DELIVERED, "")
    assert server.authorization == f"Basic {base64.b64encode(b'ada:p@ss').decode()}"


@pytest.mark.parametrize(
    ("status", "end"), [(404, End.REFUSED), (302, End.REFUSED), (429, End.NOT_SENT), (503, End.NOT_SENT)]
)
def test_other_answers(server: Listener, status: int, end: End) -> None:
    server.status = status
    assert over(process._post, f"http://{server.address}/secret") == (end, f"it answered {status}")
    assert len(server.got) == 1


def test_connection_that_is_closed_may_have_brought_it(server: Listener) -> None:
    server.closes = True
    end, why = over(process._post, f"http://{server.address}/secret")
    assert (end, "no answer" in why) == (End.UNKNOWN, True)


@contextmanager
def silent() -> Iterator[str]:
    """A server that accepts, and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


def test_server_that_is_silent_may_have_got_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "REPLY_TIMEOUT_S", 0.2)
    with silent() as address:
        assert over(process._post, f"http://{address}") == (End.UNKNOWN, "it gave no answer (TimeoutError)")


def test_nobody_listens() -> None:
    with silent() as address:
        pass
    assert over(process._post, f"http://{address}/secret") == (End.NOT_SENT, "cannot connect: Connection refused")


@pytest.mark.parametrize("address", ["http://", "https://[", "http://a b/"])
def test_bad_address_is_not_repeated(address: str) -> None:
    end, why = over(process._post, address)
    assert end in (End.REFUSED, End.NOT_SENT)
    assert address not in why


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_other_schemes_go_by_apprise(server: Listener) -> None:
    process._by_apprise(order(f"json://{server.address}/secret"))
    sent = json.loads(server.got[0])
    assert (sent["title"], sent["message"]) == ("shop: crashed", "web ended")

    server.status = 500
    assert over(process._by_apprise, f"json://{server.address}/secret") == (End.NOT_SENT, "the service did not take it")
    assert over(process._by_apprise, "slack://") == (End.REFUSED, "Apprise can't use its address")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_service_that_is_silent_may_have_got_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "REPLY_TIMEOUT_S", 0.3)
    with silent() as address:
        assert over(process._by_apprise, f"json://{address}") == (End.UNKNOWN, "it gave no answer")


def test_without_apprise(monkeypatch: pytest.MonkeyPatch) -> None:
    assert apprise
    monkeypatch.setitem(sys.modules, "apprise", None)
    end, why = over(process._by_apprise, "slack://a/b/c")
    assert (end, "install slot-machine[notify]" in why) == (End.REFUSED, True)
