"""A preview through the edge: HTTP/2 pages, WebSockets over TLS, and where the token is afterwards."""

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from websockets.sync.client import connect

from tests.https.conftest import ABROAD, Edge, until
from tests.https.daemons import Daemon
from tests.https.visitors import get, trusting

NAME = "slot-machine-preview"


class Held:
    """An app with one domain, of which another version is held."""

    def __init__(self, place: Path, name: str, port: int) -> None:
        self.daemon = Daemon(place / name, port, domains=[f"{name}.test"], tls="internal", access_log="access.log")
        self.daemon.live()
        until(lambda: self.daemon.domains()[f"{name}.test"][0] == "valid")
        self.live = self.git("rev-parse", "HEAD")
        self.git("-c", "user.name=x", "-c", "user.email=x@x", "commit", "-q", "--allow-empty", "-m", "next")
        self.next = self.git("rev-parse", "HEAD")
        self.url = f"https://{name}.test"
        reply = json.loads(self.daemon.run("deploy", "--hold", "--json").stdout)
        self.link = str(reply["preview_url"])
        self.token = self.link.partition("=")[2]
        self.cookie = f"{NAME}-{port}={self.token}"

    def git(self, *words: str) -> str:
        command = ["git", "-C", str(self.daemon.place), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def hold(tmp_path: Path) -> Iterator[Callable[[str, int], Held]]:
    with ExitStack() as stack:

        def make(name: str, port: int) -> Held:
            made = Held(tmp_path, name, port)
            stack.callback(lambda: made.daemon.process.stop() if made.daemon.process else None)
            return made

        yield make


def version(body: str) -> str:
    return body.partition("\nversion ")[2].partition("\n")[0]


def over_websocket(edge: Edge, held: Held, **fields: str) -> str:
    with connect(held.url.replace("https", "wss"), ssl=trusting(edge), additional_headers=fields) as socket:
        socket.send("hello")
        assert socket.recv() == "hello"
        return socket.response.headers["X-Version"] if socket.response else ""


def where_it_is(place: Path, token: str) -> list[str]:
    """But for the databases, which only the daemon's user can read."""
    files = [path for folder in (place, Path("/run")) for path in folder.rglob("*") if path.is_file()]
    found = [str(path) for path in files if token.encode() in path.read_bytes() and path.stem != "state"]
    return found + [str(path) for path in Path("/proc").glob("[0-9]*/cmdline") if token.encode() in path.read_bytes()]


def test_previewers_alone_get_it_and_nobody_learns_the_token(
    start_edge: Callable[..., Edge], hold: Callable[[str, int], Held], tmp_path: Path
) -> None:
    edge = start_edge()
    shop, blog = hold("shop", 3000), hold("blog", 3001)
    assert shop.link == f"https://shop.test/?{NAME}={shop.token}"
    jar = str(tmp_path / "jar")

    opened = get(edge, shop.link.replace("/?", "/a?b=1&"), "--http2", "-i", "--interface", ABROAD).stdout
    assert opened.startswith("HTTP/2 303")
    assert "location: /a?b=1\n" in opened
    assert f"set-cookie: {shop.cookie}; Path=/; HttpOnly; SameSite=Lax; Secure" in opened
    page = get(edge, shop.link, "--http2", "-i", "-L", "-b", jar, "-c", jar).stdout.partition("\n\n")[2]
    Path(jar).unlink()
    assert page.startswith("HTTP/2 200")
    assert "cache-control: private, no-store\nx-robots-tag: noindex\n" in page
    assert (version(page), shop.token in page) == (shop.next, False)

    cookies = f"{NAME}-note=mine; {blog.cookie}; {shop.cookie}"
    asked = [
        ("--http2", "-H", f"Slot-Machine-Preview: {shop.token}"),
        ("--http1.1", "-b", cookies),
        ("--http2", "-b", cookies),
        ("--http2", "-b", cookies, "-d", f"{NAME}=x"),
        ("--http2", "-b", shop.cookie, "-e", shop.link),
    ]
    bodies = [get(edge, shop.url, *words).stdout for words in asked]
    assert [version(body) for body in bodies] == [shop.next] * len(asked)
    assert shop.token not in "".join(bodies)
    assert f"Cookie: {NAME}-note=mine\n" in bodies[2]
    assert over_websocket(edge, shop, Cookie=cookies) == shop.next
    assert over_websocket(edge, shop, **{"Slot-Machine-Preview": shop.token}) == shop.next

    assert version(get(edge, shop.url).stdout) == over_websocket(edge, shop) == shop.live
    assert version(get(edge, shop.url, "-b", blog.cookie).stdout) == shop.live
    assert version(get(edge, blog.url, "-b", cookies).stdout) == blog.next
    for wrong in (blog.link.replace("blog.test", "shop.test"), shop.link + "x"):
        assert "404" in get(edge, wrong, "-o", "/dev/null", "-w", "%{http_code}").stdout

    assert shop.daemon.run("abort").returncode == 0
    assert version(get(edge, shop.url, "-b", shop.cookie).stdout) == shop.live
    assert "404" in get(edge, shop.link, "-o", "/dev/null", "-w", "%{http_code}").stdout
    log = shop.daemon.place / "access.log"
    until(lambda: log.exists() and log.read_text().count('"status":404') == 3)
    assert where_it_is(tmp_path, shop.token) == []
