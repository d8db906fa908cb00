"""A preview, with real processes: who gets the held version, for how long, and that nobody else learns the token."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from spec.ports import free_port
from spec.waiting import wait_until

from tests.browser import Answer, ask, websocket
from tests.processes import kill, kill_daemon, workers
from tests.users import STRANGER, run_as
from tests.world import Site, live

APP = {"app.py": (Path(__file__).parents[1] / "clients" / "telling_app.py").read_text()}
FIELD = "Slot-Machine-Preview"
OF_ANOTHER_USER = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1]).read().decode())"


def begin(site: Site, **config: str | int | list[str]) -> None:
    """`good` is live."""
    site.start(access_log="access.log", **config)
    commit = site.commit("good", APP)
    assert site.post("/deploy", {"commit": commit}).status == 200


def hold(site: Site, version: str) -> str:
    """The token of its preview."""
    reply = site.post("/deploy", {"commit": site.commit(version, APP), "hold": True})
    assert reply.status == 200, reply
    link = str(reply.body["preview_url"])
    assert link.startswith(f"http://localhost:{site.port}/?slot-machine-preview=")
    return link.partition("=")[2]


def cookie_from(site: Site, token: str) -> dict[str, str]:
    """Of a browser that has opened the link."""
    answer = ask(site.port, f"/a?b=%31&slot-machine-preview={token}")
    assert (answer.status, answer.fields["Location"]) == (303, "/a?b=%31")
    return {"Cookie": answer.fields["Set-Cookie"].partition(";")[0]}


def versions(site: Site, *fields: dict[str, str]) -> list[str]:
    return [ask(site.port, "/", each).text for each in fields]


def all_kinds(site: Site, token: str, cookie: dict[str, str]) -> list[Answer]:
    """What a previewer asks for, but for WebSockets."""
    return [
        ask(site.port, "/page", cookie),
        ask(site.port, "/events", {FIELD: token}),
        ask(site.port, "/form", cookie, "POST", b"x=1"),
        ask(site.port, f"/form?x=2&slot-machine-preview={token}", {}, "POST", b"x=1"),
        ask(site.port, "/page", cookie | {"Referer": f"http://localhost/?slot-machine-preview={token}&c=3"}),
    ]


def renew_workers(site: Site) -> None:
    """While one is killed after the other, what each of them was told must be told to the next one."""
    before = set(workers(site))
    for pid in before:
        kill(pid)
        wait_until("another one runs", partial(_have_replaced, site, pid, len(before)))


def _have_replaced(site: Site, killed: int, size: int) -> bool:
    return len(set(workers(site)) - {killed}) == size


def logged(site: Site) -> str:
    log = site.repo / "access.log"
    return log.read_text() if log.exists() else ""


def where_it_is(site: Site, token: str) -> list[str]:
    """Files and command lines with the token, but for the database, which only the daemon's user can read."""
    files = [path for path in site.folder.rglob("*") if path.is_file() and not path.name.startswith("state.db")]
    found = [str(path) for path in files if token.encode() in path.read_bytes()]
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
        found += [command.decode(errors="replace")] if token.encode() in command else []
    return found


@pytest.mark.parametrize(("log_format", "not_found"), [("json", '"status":404'), ("combined", '" 404 ')])
def test_previewers_alone_get_it_and_nobody_learns_the_token(site: Site, log_format: str, not_found: str) -> None:
    begin(site, access_log_format=log_format, proxy_workers=2)
    token = hold(site, "next")
    cookie = cookie_from(site, token)

    answers = all_kinds(site, token, cookie)
    assert {answer.text for answer in answers} == {"next"}
    assert {(answer.fields["Cache-Control"], answer.fields["X-Robots-Tag"]) for answer in answers} == {
        ("private, no-store", "noindex")
    }
    frame = b"\r\n\r\n\x81\x04next"
    for target, fields in (("/", cookie), ("/", {FIELD: token}), (f"/?slot-machine-preview={token}", {})):
        assert websocket(site.port, target, fields).endswith(frame)
    visitor = ask(site.port, "/")
    assert (visitor.text, visitor.fields["Cache-Control"]) == ("good", "public, max-age=600")
    assert ask(site.port, "/?slot-machine-preview=off", cookie).fields["Set-Cookie"].endswith("; SameSite=Lax")
    wait_until("it is in the log", lambda: all(text in logged(site) for text in ("/form?x=2", "/?c=3")))
    renew_workers(site)
    assert versions(site, cookie, {FIELD: token}) == ["next", "next"]
    assert site.post("/abort").status == 200
    assert ask(site.port, "/", {FIELD: token}).status == 404
    assert ask(site.port, f"/?slot-machine-preview={token}").status == 404
    assert versions(site, cookie) == ["good"]

    wait_until("all is in the log", lambda: logged(site).count(not_found) == 2)
    assert where_it_is(site, token) == []


def test_it_survives_the_daemon_and_a_reload_and_ends_with_the_candidate(site: Site) -> None:
    begin(site)
    token = hold(site, "next")
    mine = (cookie_from(site, token), {FIELD: token})
    link = str(candidate(site)["preview_url"])

    kill_daemon(site)
    assert versions(site, *mine, {}) == ["next", "next", "good"]
    site.start()
    assert versions(site, *mine, {}) == ["next", "next", "good"]
    renew_workers(site)
    assert versions(site, *mine, {}) == ["next", "next", "good"]
    assert site.post("/reload").status == 202
    wait_until("it has reloaded", lambda: site.status()["reloads"] == 1)
    assert versions(site, *mine, {}) == ["next", "next", "good"]
    assert candidate(site)["preview_url"] == link

    assert site.post("/promote").status == 200
    assert candidate(site)["preview_url"] == ""
    assert versions(site, {}, mine[0]) == ["next", "next"]
    assert ask(site.port, "/").fields["Cache-Control"] == "public, max-age=600"
    assert ask(site.port, "/", mine[1]).status == 404
    again = hold(site, "third")
    assert again != token
    assert versions(site, {FIELD: again}, mine[0]) == ["third", "next"]


def candidate(site: Site) -> dict[str, object]:
    found = site.status()["candidate"]
    assert isinstance(found, dict)
    return found


def test_a_crash_ends_it(site: Site) -> None:
    live(site)
    site.commit("next")
    link = str(site.post("/deploy", {"commit": "HEAD", "hold": True}).body["preview_url"])
    fields = {FIELD: link.partition("=")[2]}
    assert versions(site, fields) == ["next"]
    assert ask(site.port, "/crash", fields).status in (404, 502)
    wait_until("it is told", lambda: candidate(site)["state"] == "failed")
    assert ask(site.port, "/", fields).status == 404
    assert candidate(site)["preview_url"] == ""


def test_on_the_preview_port_the_candidate_alone_answers(site: Site) -> None:
    port = free_port()
    begin(site, preview_port=port)
    none = ask(port, "/")
    assert (none.status, none.fields["Cache-Control"]) == (503, "no-store")
    assert "no version is held here" in none.text
    hold(site, "next")
    for answer in (ask(port, "/"), ask(port, "/", {}, "POST", b"x")):
        assert (answer.text, answer.fields["Cache-Control"]) == ("next", "private, no-store")
    assert websocket(port, "/", {}).endswith(b"next")
    assert "('X-Forwarded-For', '127.0.0.1')" in (site.data / "slot-b.log").read_text()
    listening = inodes(port)
    kill_daemon(site)
    site.start()
    assert site.post("/reload").status == 202
    wait_until("it has reloaded", lambda: site.status()["reloads"] == 1)
    assert (ask(port, "/").text, inodes(port)) == ("next", listening)
    assert site.post("/promote").status == 200
    assert (ask(port, "/").status, site.serving()) == (503, "next")
    (site.repo / "slot-machine.json").write_text(json.dumps(site.config | {"preview_port": free_port()}))
    assert "a reload can't change preview_port" in str(site.post("/reload").body["error"])


def inodes(port: int) -> set[str]:
    """Of sockets that listen there."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {line[9] for line in lines if line[1].endswith(f":{port:04X}") and line[3] == "0A"}


def test_the_link_is_told_to_those_who_may_change_things(site: Site) -> None:
    live(site, public_url="https://shop.example.com/")
    site.commit("next")
    held = site.run("deploy", "--hold")
    (link,) = re.findall(r"https://shop\.example\.com/\?slot-machine-preview=\S+", held.stderr)
    assert "every address of the app" in held.stderr
    assert link in site.run("status").stdout
    assert json.loads(site.run("status", "--json").stdout)["candidate"]["preview_url"] == link
    if os.geteuid() == 0:
        asked = [sys.executable, "-ISc", OF_ANOTHER_USER, f"http://localhost:{site.api_port}/status"]
        theirs = json.loads(run_as(STRANGER, *asked).stdout)["candidate"]
        assert (theirs["state"], theirs["preview_url"]) == ("held", "")


NGINX = """
daemon off; worker_processes 1; pid nginx.pid; error_log stderr crit;
events {{ }}
http {{
  access_log off; client_body_temp_path body; proxy_temp_path p; fastcgi_temp_path f; uwsgi_temp_path u;
  scgi_temp_path s; proxy_cache_path cache keys_zone=all:1m;
  server {{ listen 127.0.0.1:{port}; location / {{
    proxy_pass http://127.0.0.1:{app}; proxy_set_header Host $http_host; proxy_set_header X-Forwarded-Proto https;
    proxy_cache all; proxy_cache_valid any 1h; add_header X-Cache $upstream_cache_status always; }} }} }}
"""


@pytest.fixture
def cache(site: Site) -> Iterator[int]:
    """The port of a shared cache in front of the app, which speaks TLS as far as the app can know."""
    program, port, folder = shutil.which("nginx"), free_port(), site.folder / "nginx"
    if not program:
        pytest.skip("nginx is not installed")
    folder.mkdir()
    config = "user root;" * (os.geteuid() == 0) + NGINX.format(port=port, app=site.port)
    (folder / "nginx.conf").write_text(config)
    with subprocess.Popen([program, "-p", folder, "-c", "nginx.conf"]) as nginx:
        try:
            wait_until("nginx listens", lambda: inodes(port))
            yield port
        finally:
            nginx.terminate()


def test_a_shared_cache_keeps_nothing_of_a_preview(site: Site, cache: int) -> None:
    begin(site, trusted_proxies=["127.0.0.1"], public_url=f"http://localhost:{cache}")
    reply = site.post("/deploy", {"commit": site.commit("next", APP), "hold": True})
    link = str(reply.body["preview_url"]).removeprefix(f"http://localhost:{cache}")
    for _ in range(2):
        opened = ask(cache, link)
        assert (opened.status, opened.fields["Location"], opened.fields["X-Cache"]) == (303, "/", "MISS")
        assert opened.fields["Set-Cookie"].endswith("; Secure")
    cookie = {"Cookie": opened.fields["Set-Cookie"].partition(";")[0]}

    def seen(path: str, fields: dict[str, str]) -> tuple[str, str]:
        answer = ask(cache, path, fields)
        return answer.text, answer.fields["X-Cache"]

    for fields in (cookie, {FIELD: link.partition("=")[2]}):
        assert [seen("/a", fields) for _ in range(2)] == [("next", "MISS")] * 2
    assert [seen("/a", {}) for _ in range(2)] == [("good", "MISS"), ("good", "HIT")]
    assert seen("/a", cookie) == ("good", "HIT"), "what the cache has, it gives to all"
    assert site.post("/abort").status == 200
    assert [(ask(cache, link).status, seen("/b", cookie)) for _ in range(2)] == [
        (404, ("good", "MISS")),
        (404, ("good", "HIT")),
    ]
