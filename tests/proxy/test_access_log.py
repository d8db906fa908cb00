"""The access log of a running data plane."""

import asyncio
import json
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from slot_machine.proxy import access_log
from tests.proxy.conftest import DEFAULTS, Plane, running
from tests.proxy.talk import GET, OK

LIMIT_S = 10
LINE = access_log.Finished(0.0, "", "", 400, 1)
TURNS = 10
"""Of the event loop: more than a task needs to get where it waits."""


def ask(plane: Plane) -> None:
    answer(plane, GET.replace(b"GET / ", b"GET /a?b=%20\xc2\x9b "))


def answer(plane: Plane, request: bytes) -> None:
    app = plane.app()
    client = plane.client(request)
    connection = app.accept()
    connection.head()
    connection.send(OK)
    client.until(b"ok")


def lines(path: Path, count: int) -> list[dict[str, object]]:
    return [json.loads(line) for line in lines_of(path, count)]


def lines_of(path: Path, count: int) -> list[str]:
    """Waits for that many."""
    give_up_s = time.monotonic() + LIMIT_S
    while time.monotonic() < give_up_s:
        found = path.read_text().splitlines() if path.exists() else []
        if len(found) >= count:
            return found
        time.sleep(0.01)
    raise AssertionError(f"{path} did not get {count} lines")


def test_one_line_a_request(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    with running(tmp_path, DEFAULTS, access_log=str(path)) as plane:
        ask(plane)
        plane.client(b"nonsense\r\n\r\n").rest()
        first, second = lines(path, 2)
    assert abs(float(str(first.pop("time"))) - time.time()) < 60
    assert 0 <= float(str(first.pop("seconds"))) < 60
    assert len(str(first.pop("request_id"))) == 32
    assert 0 < float(str(first.pop("upstream_seconds"))) < 60
    assert first == {
        "method": "GET",
        "target": "/a?b=%20\\xc2\\x9b",
        "status": 200,
        "bytes": len(OK),
        "slot": "a",
        "client": "127.0.0.1",
        "user_agent": "",
        "referer": "",
    }
    assert (second["method"], second["status"], second["slot"], second["client"]) == ("", 400, "", "127.0.0.1")


FROM_A_BROWSER = GET.replace(
    b"\r\n\r\n",
    b'\r\nuser-agent: Mozilla "5\\6"\t\xc2\x9b\r\nReferer: http://a/b\r\nX-Forwarded-For: %b\r\n\r\n'
    % b"6.6.6.6, ::ffff:192.0.2.7, 10.0.0.9",
)


@pytest.mark.parametrize(
    ("trusted", "client"),
    [
        ((), "127.0.0.1"),
        (("127.0.0.0/8",), "10.0.0.9"),
        (("127.0.0.0/8", "10.0.0.0/8"), "192.0.2.7"),
        (("0.0.0.0/0",), "6.6.6.6"),
    ],
)
def test_client_is_the_one_that_trusted_proxies_tell(tmp_path: Path, trusted: tuple[str, ...], client: str) -> None:
    path = tmp_path / "access.log"
    with running(tmp_path, DEFAULTS, trusted, access_log=str(path)) as plane:
        answer(plane, FROM_A_BROWSER)
        (line,) = lines(path, 1)
    assert line["client"] == client
    assert (line["user_agent"], line["referer"]) == ('Mozilla "5\\6"\t\\xc2\\x9b', "http://a/b")


def test_seconds_of_the_app_end_where_its_reply_begins(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    with running(tmp_path, DEFAULTS, access_log=str(path)) as plane:
        app = plane.app()
        client = plane.client(GET)
        connection = app.accept()
        connection.head()
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhal")
        client.until(b"hal")
        time.sleep(0.3)
        connection.send(b"lo")
        client.until(b"lo")
        app.stop_listening()
        connection.close()
        plane.client(GET).until(b"refused the connection")
        first, refused = lines(path, 2)
    assert float(str(first["upstream_seconds"])) < float(str(first["seconds"])) - 0.25
    assert (refused["status"], refused["upstream_seconds"]) == (502, 0.0)


def test_combined_format(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    with running(tmp_path, DEFAULTS, access_log=str(path), combined=True) as plane:
        answer(plane, FROM_A_BROWSER)
        answer(plane, GET.replace(b"HTTP/1.1", b"HTTP/1.0"))
        plane.client(b"nonsense\r\n\r\n").rest()
        lines_of(path, 3)
    first, second, third = path.read_text().splitlines()
    moment = r"\[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\]"
    agent = re.escape(r"Mozilla \x225\x5C6\x22\x09\xc2\x9b")
    assert re.fullmatch(rf'127\.0\.0\.1 - - {moment} "GET / HTTP/1\.1" 200 {len(OK)} "http://a/b" "{agent}"', first)
    assert re.fullmatch(rf'127\.0\.0\.1 - - {moment} "GET / HTTP/1\.0" 200 \d+ "-" "-"', second)
    assert re.fullmatch(rf'127\.0\.0\.1 - - {moment} "-" 400 \d+ "-" "-"', third)


def test_rename_begins_a_new_file(tmp_path: Path) -> None:
    path, old = tmp_path / "access.log", tmp_path / "access.log.1"
    with running(tmp_path, DEFAULTS, access_log=str(path)) as plane:
        ask(plane)
        lines(path, 1)
        path.rename(old)
        ask(plane)
        assert len(lines(path, 1)) == 1
    assert len(lines(old, 1)) == 1


def test_what_waits_is_written_when_the_process_stops(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    with running(tmp_path, DEFAULTS, access_log=str(path)) as plane:
        ask(plane)
    assert len(lines(path, 1)) == 1


def test_request_that_the_stop_of_the_process_ends_has_its_line(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    with running(tmp_path, DEFAULTS, access_log=str(path)) as plane:
        app = plane.app()
        plane.client(GET)
        app.accept().head()
    assert [line["status"] for line in lines(path, 1)] == [0]


def test_log_that_cannot_be_written_costs_no_request(tmp_path: Path) -> None:
    with running(tmp_path, DEFAULTS, access_log=str(tmp_path / "none" / "access.log")) as plane:
        ask(plane)
        ask(plane)


def test_lines_that_wait_for_a_thread_at_the_stop_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access_log, "INTERVAL_S", 0)
    log = access_log.AccessLog(str(tmp_path / "access.log"))

    async def stop_while_they_wait() -> None:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(1))
        free = threading.Event()
        busy = loop.run_in_executor(None, free.wait)
        log.add(LINE)
        keeping = asyncio.create_task(log.keep())
        for _ in range(TURNS):
            await asyncio.sleep(0)
        keeping.cancel()
        for _ in range(TURNS):
            await asyncio.sleep(0)
        free.set()
        await asyncio.gather(keeping, busy, return_exceptions=True)

    asyncio.run(stop_while_they_wait())
    assert len(lines(tmp_path / "access.log", 1)) == 1


def test_lines_that_a_slow_disk_leaves_no_room_for_are_lost_and_said_to_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(access_log, "MOST_WAITING_BYTES", 1)
    log = access_log.AccessLog(str(tmp_path / "access.log"))
    for _ in range(3):
        log.add(LINE)
    log.flush()
    assert len(lines(tmp_path / "access.log", 1)) == 1
    assert "lost 2 lines" in caplog.text
