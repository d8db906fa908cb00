"""Who may change something: over the socket whoever may open it, over TCP the daemon's user, root, and the token."""

import json
import os
import pwd
import shutil
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from spec.ports import free_port

from slot_machine.cli.client import Client
from slot_machine.cli.who import who
from slot_machine.core.errors import SlotMachineError
from slot_machine.host.network import control_socket
from tests.processes import kill_daemon
from tests.users import OWNER, STRANGER, as_user, public_folder, python_for_all, run_as
from tests.world import Site, ask, installed

ASK = """
import http.client, json, sys
port, requests = json.loads(sys.argv[1])
for method, path, fields in requests:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.putrequest(method, path, skip_host=True)
    for name, value in [["Host", "localhost"], ["Content-Length", "0"], *fields]:
        connection.putheader(name, value)
    connection.endheaders()
    reply = connection.getresponse()
    print(json.dumps([reply.status, dict(reply.getheaders()), reply.read().decode()]))
"""
Fields = list[tuple[str, str]]
Request = tuple[str, str, Fields]
NOTHING_TO_ROLL_BACK_TO = 409


class Answer(NamedTuple):
    status: int
    fields: dict[str, str]
    text: str


def ask_as(uid: int, site: Site, *requests: Request) -> list[Answer]:
    done = run_as(uid, sys.executable, "-ISc", ASK, json.dumps([site.api_port, requests]))
    assert done.returncode == 0, done.stderr
    return [Answer(*json.loads(line)) for line in done.stdout.splitlines()]


def statuses(uid: int, site: Site, *fields: Fields) -> list[int]:
    """Of rollbacks."""
    return [answer.status for answer in ask_as(uid, site, *(("POST", "/rollback", given) for given in fields))]


def secret(site: Site) -> str:
    return (site.data / "token").read_text().strip()


@pytest.fixture
def public_site() -> Iterator[Site]:
    with public_folder() as folder:
        site = Site(installed(), folder)
        yield site
        site.close()


@pytest.fixture
def owners_site(public_site: Site) -> Site:
    """Its daemon is run by OWNER."""
    public_site.commit("v1")
    public_site.prefix = (*as_user(OWNER), *python_for_all())
    (public_site.repo / "slot-machine.json").touch()
    for path in (public_site.repo, *public_site.repo.rglob("*")):
        os.chown(path, OWNER, OWNER)
    public_site.start()
    return public_site


def test_another_user_changes_nothing(site: Site) -> None:
    site.start()
    changing: list[Request] = [
        ("POST", path, []) for path in ("/deploy", "/rollback", "/cancel", "/reload", "/nothing")
    ]
    streamed: Request = ("POST", "/rollback", [("Accept", "application/x-ndjson")])
    others: list[Request] = [(method, "/status", []) for method in ("PUT", "DELETE", "OPTIONS", "PATCH", "TRACE")]

    for answer in ask_as(STRANGER, site, *changing, streamed, *others):
        assert (answer.status, answer.fields["WWW-Authenticate"]) == (401, "Bearer")
        reply = json.loads(answer.text)
        assert reply["success"] is False
        assert "only root may change anything here" in reply["error"]
        assert str(site.data / "token") in reply["hint"]
    reading: list[Request] = [(method, path, []) for method in ("GET", "HEAD") for path in ("/", "/status", "/metrics")]
    assert {answer.status for answer in ask_as(STRANGER, site, *reading)} == {200}
    assert (site.history(), site.status()["reloads"]) == ([], 0)


def test_token_lets_another_user_in(site: Site) -> None:
    site.start()
    right = [("Authorization", f"Bearer {secret(site)}")]
    lower = [("authorization", f"bearer  {secret(site)} ")]
    wrong = [
        [("Authorization", value)]
        for value in ("", "Bearer", "Bearer ", f"Bearer {secret(site)}x", f"Basic {secret(site)}", secret(site))
    ]

    assert statuses(STRANGER, site, right, lower) == [NOTHING_TO_ROLL_BACK_TO] * 2
    assert set(statuses(STRANGER, site, *wrong, right + right)) == {401}


def test_daemon_of_an_ordinary_user(owners_site: Site) -> None:
    """Its user and root need no token."""
    assert statuses(STRANGER, owners_site, []) == [401]
    assert statuses(OWNER, owners_site, []) == [NOTHING_TO_ROLL_BACK_TO]
    assert ask(owners_site, "POST", "/rollback", {})[0] == NOTHING_TO_ROLL_BACK_TO


def test_api_auth_can_be_turned_off_by_a_reload(site: Site) -> None:
    site.start()
    assert statuses(STRANGER, site, []) == [401]
    (site.repo / "slot-machine.json").write_text(json.dumps(site.config | {"api_auth": False}))
    assert site.run("reload").returncode == 0

    assert statuses(STRANGER, site, [], [("Sec-Fetch-Site", "cross-site")]) == [NOTHING_TO_ROLL_BACK_TO, 403]


@pytest.mark.parametrize("field", ["X-Forwarded-For", "Forwarded", "Via", "X-Real-IP"])
def test_proxy_of_the_daemons_user_needs_the_token(site: Site, field: str) -> None:
    """It is not the one who asks."""
    site.start()

    assert ask(site, "POST", "/rollback", {field: "192.0.2.1"})[0] == 401
    known = {field: "192.0.2.1", "Authorization": f"Bearer {secret(site)}"}
    assert ask(site, "POST", "/rollback", known)[0] == NOTHING_TO_ROLL_BACK_TO
    assert ask(site, "GET", "/status", {field: "192.0.2.1"})[0] == 200


def test_web_page_is_refused_whatever_else_it_has(site: Site) -> None:
    site.start()
    own = {"Authorization": f"Bearer {secret(site)}"}

    assert ask(site, "POST", "/rollback", own | {"Sec-Fetch-Site": "cross-site"})[0] == 403
    assert (
        over_socket(site, b"POST /rollback HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.example\r\n\r\n") == 403
    )
    twice = b"POST /rollback HTTP/1.1\r\nHost: localhost\r\n" + b"Origin: http://localhost\r\n" * 2 + b"\r\n"
    assert over_socket(site, twice) == 403
    whole_url = b"GET http://evil.example/status HTTP/1.1\r\nHost: localhost\r\n\r\n"
    assert over_socket(site, whole_url) == 403
    two_hosts = b"GET /status HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n"
    assert over_socket(site, two_hosts) in (400, 403)
    assert over_socket(site, b"GET /status HTTP/1.0\r\n\r\n") in (400, 403)


def over_socket(site: Site, request: bytes) -> int:
    """The status."""
    with socket.socket(socket.AF_UNIX) as client:
        with control_socket.reachable(site.data / "api.sock") as address:
            client.connect(address)
        client.sendall(request)
        return int(client.makefile("rb").readline().split()[1])


def test_socket_is_the_daemons_users_alone(public_site: Site) -> None:
    site = public_site
    site.start()
    path = site.data / "api.sock"

    assert path.stat().st_mode & 0o777 == 0o600
    assert over_socket(site, b"POST /rollback HTTP/1.1\r\nHost: localhost\r\n\r\n") == NOTHING_TO_ROLL_BACK_TO
    program = f"import socket; socket.socket(socket.AF_UNIX).connect({str(path)!r})"
    assert "PermissionError" in run_as(STRANGER, sys.executable, "-ISc", program).stderr
    site.daemons[-1].stop()
    assert not path.exists()


def test_socket_is_at_no_moment_open_to_others(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    modes = []

    class Observed(socket.socket):
        def bind(self, address: str) -> None:  # type: ignore[override]
            super().bind(address)
            modes.append(os.stat(address).st_mode & 0o777)

    monkeypatch.setattr("socket.socket", Observed)
    before = os.umask(0)
    try:
        bound = control_socket.bound(tmp_path / "api.sock")
    finally:
        os.umask(before)
    with bound:
        assert modes == [0o600]
        with pytest.raises(ConnectionRefusedError), socket.socket(socket.AF_UNIX) as client:
            client.connect(str(tmp_path / "api.sock"))


def test_kill_leaves_a_stale_socket_that_the_next_daemon_replaces(site: Site) -> None:
    site.start()
    known = secret(site)
    kill_daemon(site)
    assert (site.data / "api.sock").is_socket()
    assert "cannot reach" in site.run("rollback").stderr

    site.start()

    (site.repo / "slot-machine.json").write_text(json.dumps(site.config | {"api_port": free_port()}))
    assert "no previous version" in site.run("rollback").stderr
    assert secret(site) == known


def test_no_call_is_lost_in_a_reload(site: Site) -> None:
    """Those that come meanwhile are answered after it, or told to come again."""
    site.start()
    done = threading.Event()
    failures: list[str] = []
    answers: list[object] = []

    def call(client: Client) -> None:
        while not done.is_set():
            try:
                answers.append(client.cancel()["error"])
                client.status()
            except SlotMachineError as error:
                failures.append(str(error))

    clients = [Client(free_port(), str(site.data)), Client(site.api_port)]
    callers = [threading.Thread(target=call, args=(client,)) for client in clients * 2]
    for caller in callers:
        caller.start()
    inode = (site.data / "api.sock").stat().st_ino
    for _ in range(2):
        assert site.run("reload").returncode == 0
    done.set()
    for caller in callers:
        caller.join()

    assert failures == []
    assert set(answers) == {"no deploy runs, so nothing was cancelled"}
    assert (site.data / "api.sock").stat().st_ino == inode


def test_socket_that_was_removed_is_back_after_a_reload(site: Site) -> None:
    site.start()
    (site.data / "api.sock").unlink()

    assert site.run("reload").returncode == 0

    assert over_socket(site, b"GET /status HTTP/1.1\r\nHost: localhost\r\n\r\n") == 200


def test_data_folder_with_a_long_path(public_site: Site) -> None:
    folder = public_site.folder / ("x" * 100)
    folder.mkdir()
    site = Site(public_site.orchestrator, folder)
    site.start()
    (site.repo / "slot-machine.json").write_text(json.dumps(site.config | {"api_port": free_port()}))

    try:
        assert "no previous version" in site.run("rollback").stderr
    finally:
        site.close()


def test_command_of_another_user_says_whose_daemon_it_is(owners_site: Site) -> None:
    site, binary = owners_site, str(owners_site.orchestrator.binary)
    site.data.chmod(0o700)

    refused = run_as(STRANGER, *python_for_all(), binary, "rollback", cwd=site.repo)
    shown = run_as(STRANGER, *python_for_all(), binary, "status", cwd=site.repo)
    (site.repo / "slot-machine.json").write_text(json.dumps(site.config | {"api_port": free_port()}))
    unreachable = run_as(STRANGER, *python_for_all(), binary, "status", cwd=site.repo)

    assert refused.returncode == 1
    assert f"only user {OWNER} or root may change anything here" in refused.stderr
    assert f"hint: run slot-machine as user {OWNER} or root" in refused.stderr
    assert shown.returncode == 3, "it may ask, and nothing is live"
    assert f"api.sock is for user {OWNER} only, whose daemon it is" in unreachable.stderr
    assert f"hint: run this command as user {OWNER}, or as root" in unreachable.stderr
    assert "no previous version" in site.run("rollback").stderr


def test_in_a_user_namespace_nobody_is_taken_for_the_daemons_user(site: Site) -> None:
    """There, all users but its own appear as the same one."""
    if os.geteuid() or not shutil.which("unshare"):
        pytest.skip("needs root and unshare(1)")
    site.prefix = ("unshare", "--user", "--map-user=65534", "--map-group=65534")
    site.start()

    assert statuses(STRANGER, site, []) == [401]
    assert ask(site, "POST", "/rollback", {})[0] == 401
    assert "no previous version" in site.run("rollback").stderr


def test_history_says_who_asked(site: Site) -> None:
    site.start()
    site.commit("v1")
    asked = json.dumps({"commit": "no such"}).encode()
    fields = {"Host": "localhost"}

    done = site.run("deploy", "main")
    ask(site, "POST", "/deploy", fields, asked)
    ask(site, "POST", "/deploy", fields | {"Authorization": f"Bearer {secret(site)}"}, asked)

    us = pwd.getpwuid(os.geteuid()).pw_name
    assert done.returncode == 0, done.stderr
    assert [(entry["who"], entry["trigger"]) for entry in site.history()] == [
        (who(), "cli"),
        (us, "api"),
        ("API token", "api"),
    ]
    first = site.history()[0]
    assert (first["ref"], first["subject"], first["result"]) == ("main", "v1", "succeeded")
