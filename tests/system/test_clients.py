"""Clients that people use, each at work over several switches: all that they notice is the new version."""

import asyncio
import hashlib
import random
import shlex
import shutil
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path

import aiohttp
import httpx
import pytest
from spec.waiting import wait_until
from spec.web import Reply
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect as connect_in_thread

from tests.world import Site, switch_under_load

CLIENTS = Path(__file__).parents[1] / "clients"
START_WEBSOCKET_APP = f"{shlex.quote(sys.executable)} app.py"
"""Finds the packages of this environment."""
VERSIONS = ("v1", "v2", "v3", "v4")
BODY = random.Random(1).randbytes(400_000)
DIGEST = hashlib.sha256(BODY).hexdigest()
GOING_AWAY = 1001
BUDGET_MS = 1000
"""Half of it passes before an app with endless requests is stopped, the other half until the last of these ends."""
LONG_BUDGET_MS = 4 * BUDGET_MS
"""Where the parts of the budget are measured: a busy machine is late by a small part of it."""
BOOT_LIMIT_MS = 20_000
"""For apps with packages to import."""


class Seen:
    """The versions that answered, in order, by who asked."""

    def __init__(self, *names: str) -> None:
        self.versions: dict[str, list[str]] = {name: [] for name in names}
        self.over = False

    def add(self, name: str, version: str) -> None:
        self.versions[name].append(version)

    def reached(self, version: str) -> bool:
        return self.over or all(version in versions for versions in self.versions.values())


Client = Callable[[Seen], Coroutine[None, None, None]]


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1")


@pytest.fixture
def http_site(site: Site) -> Site:
    site.start()
    deploy(site, "http_app", "v1")
    return site


@pytest.fixture
def stream_site(site: Site) -> Site:
    site.start(drain_timeout_ms=BUDGET_MS)
    deploy(site, "http_app", "v1")
    return site


@pytest.fixture
def websocket_site(site: Site) -> Site:
    return start_websocket_app(site, BUDGET_MS)


@pytest.fixture
def slow_site(site: Site) -> Site:
    return start_websocket_app(site, LONG_BUDGET_MS)


def start_websocket_app(site: Site, budget_ms: int) -> Site:
    site.start(drain_timeout_ms=budget_ms, start_command=START_WEBSOCKET_APP, health_timeout_ms=BOOT_LIMIT_MS)
    deploy(site, "websocket_app", "v1", told=str(told(site)))
    return site


def told(site: Site) -> Path:
    """Where an app that runs WebSockets writes when it got its SIGTERM."""
    return site.folder / "told"


def deploy(site: Site, app: str, version: str, **behaviour: str) -> Reply:
    site.commit(version, {"app.py": (CLIENTS / f"{app}.py").read_text()}, **behaviour)
    reply = site.post("/deploy", {"commit": "HEAD"})
    assert reply.status == 200, reply
    return reply


def over_switches(site: Site, app: str, client: Client, *names: str) -> None:
    """Deploys further versions under `client`, each when all that ask have seen the one before."""
    seen = Seen(*names)

    async def main() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(client(seen))
            try:
                for version in VERSIONS:
                    if version != VERSIONS[0]:
                        await asyncio.to_thread(deploy, site, app, version)
                    await asyncio.to_thread(wait_until, f"all see {version}", partial(seen.reached, version))
            finally:
                seen.over = True

    asyncio.run(main())
    for name, versions in seen.versions.items():
        assert list(dict.fromkeys(versions)) == list(VERSIONS), name
        assert versions == sorted(versions), name


@asynccontextmanager
async def running(*command: str | Path) -> AsyncIterator[asyncio.subprocess.Process]:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=pipe)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
            await process.communicate()


async def lines(process: asyncio.subprocess.Process) -> AsyncIterator[list[str]]:
    """The words of each line."""
    assert process.stdout
    async for line in process.stdout:
        yield line.decode().split()


def tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def test_curl_keeps_one_connection(http_site: Site) -> None:
    """It ends at the first failure."""
    quiet = ("--silent", "--show-error", "--no-buffer")
    command = (tool("curl"), *quiet, "--fail", "--fail-early", "--write-out", " %{num_connects}\n")
    connections = 0

    async def client(seen: Seen) -> None:
        nonlocal connections
        async with running(*command, f"http://127.0.0.1:{http_site.port}/[1-1000000]") as curl:
            async for *version, connects in lines(curl):
                if not version:
                    break
                seen.add("GET", *version)
                connections += int(connects)
                if seen.over:
                    return
            _, errors = await curl.communicate()
            pytest.fail(f"curl ended: {errors.decode()}")

    over_switches(http_site, "http_app", client, "GET")

    assert connections == 1


def test_curl_uploads_once_it_may_continue(http_site: Site) -> None:
    """No faster than a quarter of a second each, so that one is always on its way."""
    slow = ("--limit-rate", str(4 * len(BODY)), "--header", "Expect: 100-continue", "--expect100-timeout", "15")
    command = (tool("curl"), "--silent", "--show-error", "--fail", "--verbose", *slow)
    uploads = {"chunked": ("--upload-file", "-"), "sized": ("--data-binary", "@-")}

    async def client(seen: Seen) -> None:
        async with asyncio.TaskGroup() as tasks:
            for name in uploads:
                tasks.create_task(upload(seen, name))

    async def upload(seen: Seen, name: str) -> None:
        while not seen.over:
            async with running(*command, *uploads[name], f"http://127.0.0.1:{http_site.port}/") as curl:
                output, messages = await curl.communicate(BODY)
            assert curl.returncode == 0, messages.decode()
            assert b"< HTTP/1.1 100 Continue" in messages
            version, digest = output.decode().split()
            assert digest == DIGEST
            seen.add(name, version)

    over_switches(http_site, "http_app", client, *uploads)


def test_node_fetch(http_site: Site) -> None:
    command = (tool("node"), CLIENTS / "fetch.mjs", f"http://127.0.0.1:{http_site.port}/")

    async def client(seen: Seen) -> None:
        async with running(*command) as node:
            async for name, version in lines(node):
                seen.add(name, version)
                if seen.over:
                    break
            assert node.stdin
            node.stdin.close()
            _, errors = await node.communicate()
        assert node.returncode == 0, errors.decode()

    over_switches(http_site, "http_app", client, "GET-1", "GET-2", "POST-sized", "POST-chunked")


def test_aiohttp_session(http_site: Site) -> None:
    async def client(seen: Seen) -> None:
        url = f"http://127.0.0.1:{http_site.port}/"
        async with aiohttp.ClientSession(raise_for_status=True) as session, asyncio.TaskGroup() as tasks:
            for name in seen.versions:
                tasks.create_task(ask(session, seen, name, url))

    async def ask(session: aiohttp.ClientSession, seen: Seen, name: str, url: str) -> None:
        method, _, _ = name.partition("-")
        while not seen.over:
            async with session.request(method, url, data=BODY if method == "POST" else None) as reply:
                version, *digest = (await reply.text()).split()
            assert digest == ([DIGEST] if method == "POST" else [])
            seen.add(name, version)

    over_switches(http_site, "http_app", client, "GET-1", "GET-2", "GET-3", "POST-1", "POST-2")


def test_httpx_client(http_site: Site) -> None:
    async def client(seen: Seen) -> None:
        with httpx.Client(base_url=f"http://127.0.0.1:{http_site.port}") as session:
            async with asyncio.TaskGroup() as tasks:
                for name in seen.versions:
                    tasks.create_task(asyncio.to_thread(ask, session, seen, name))

    def ask(session: httpx.Client, seen: Seen, name: str) -> None:
        method, _, _ = name.partition("-")
        while not seen.over:
            reply = session.request(method, "/", content=BODY if method == "POST" else None).raise_for_status()
            version, *digest = reply.text.split()
            assert digest == ([DIGEST] if method == "POST" else [])
            seen.add(name, version)

    over_switches(http_site, "http_app", client, "GET-1", "GET-2", "POST-1")


async def aiohttp_events(url: str) -> AsyncIterator[str]:
    async with aiohttp.ClientSession(raise_for_status=True) as session, session.get(url) as reply:
        assert reply.content_type == "text/event-stream"
        async for line in reply.content:
            yield line.decode()


async def httpx_events(url: str) -> AsyncIterator[str]:
    async with httpx.AsyncClient() as session, session.stream("GET", url) as reply:
        assert reply.raise_for_status().headers["Content-Type"] == "text/event-stream"
        async for line in reply.aiter_lines():
            yield line


def test_event_streams_end_cleanly(stream_site: Site) -> None:
    """An end that is not clean is an exception in these clients."""
    clients = {"aiohttp": aiohttp_events, "httpx": httpx_events}
    names = [f"{name} {framing}" for name in clients for framing in ("chunked", "until-close")]
    ends = dict.fromkeys(names, 0)

    async def client(seen: Seen) -> None:
        async with asyncio.TaskGroup() as tasks:
            for name in names:
                tasks.create_task(follow(seen, name))

    async def follow(seen: Seen, name: str) -> None:
        events, framing = name.split()
        while not seen.over:
            async for line in clients[events](f"http://127.0.0.1:{stream_site.port}/events/{framing}"):
                if line.strip():
                    seen.add(name, line.strip().removeprefix("data: "))
                if seen.over:
                    return
            ends[name] += 1

    over_switches(stream_site, "http_app", client, *names)

    assert ends == dict.fromkeys(names, len(VERSIONS) - 1)


def websocket(site: Site) -> connect:
    return connect(f"ws://127.0.0.1:{site.port}/")


async def echo(connection: ClientConnection) -> str:
    """The version at the other end."""
    await connection.send("a message")
    version, _, message = str(await connection.recv()).partition(" ")
    assert message == "a message"
    return version


async def serving(site: Site, version: str) -> None:
    await asyncio.to_thread(wait_until, f"{version} serves", lambda: site.serving() == version)


def test_websockets_client_is_told_to_come_again(websocket_site: Site) -> None:
    codes = []

    async def client(seen: Seen) -> None:
        while not seen.over:
            async with websocket(websocket_site) as connection:
                try:
                    while not seen.over:
                        seen.add("WebSocket", await echo(connection))
                except ConnectionClosed:
                    codes.append(connection.close_code)

    over_switches(websocket_site, "websocket_app", client, "WebSocket")

    assert codes == [GOING_AWAY] * (len(VERSIONS) - 1)


def test_websocket_gets_the_good_bye_of_an_app_that_says_it(site: Site) -> None:
    """And at once: the app has stopped, so nothing more can come."""
    site.start(drain_timeout_ms=BUDGET_MS, start_command=START_WEBSOCKET_APP, health_timeout_ms=BOOT_LIMIT_MS)
    deploy(site, "websocket_app", "v1", farewell="see you")

    async def main() -> None:
        async with websocket(site) as connection:
            assert await echo(connection) == "v1"
            await asyncio.to_thread(deploy, site, "websocket_app", "v2")
            async with asyncio.timeout(BUDGET_MS / 4000):
                await connection.wait_closed()
            assert (connection.close_code, connection.close_reason) == (GOING_AWAY, "see you")

    asyncio.run(main())


def test_websocket_works_on_until_the_app_is_stopped_at_half_of_the_budget(slow_site: Site) -> None:
    async def main() -> None:
        async with websocket(slow_site) as connection:
            assert await echo(connection) == "v1"
            deploying = asyncio.create_task(asyncio.to_thread(deploy, slow_site, "websocket_app", "v2"))
            await serving(slow_site, "v2")
            switched_s = time.monotonic()
            assert await echo(connection) == "v1"

            await connection.wait_closed()

            closed_s = time.monotonic()
            assert connection.close_code == GOING_AWAY
        stopped_s = float(told(slow_site).read_text())
        half_s = LONG_BUDGET_MS / 2000
        assert switched_s < stopped_s <= closed_s
        assert stopped_s - switched_s < half_s * 1.5
        async with websocket(slow_site) as again:
            assert await echo(again) == "v2"
        await deploying

    asyncio.run(main())


def test_websockets_are_closed_one_after_the_other(slow_site: Site) -> None:
    closed_s = []

    async def follow(connection: ClientConnection) -> None:
        await connection.wait_closed()
        closed_s.append(time.monotonic())

    async def main() -> Reply:
        connections = [await websocket(slow_site) for _ in range(8)]
        assert [await echo(connection) for connection in connections] == ["v1"] * 8
        async with asyncio.TaskGroup() as tasks:
            for connection in connections:
                tasks.create_task(follow(connection))
            reply = await asyncio.to_thread(deploy, slow_site, "websocket_app", "v2")
        assert [connection.close_code for connection in connections] == [GOING_AWAY] * 8
        return reply

    reply = asyncio.run(main())

    budget_s = LONG_BUDGET_MS / 1000
    assert closed_s[-1] - closed_s[0] > budget_s / 4
    assert max(later - earlier for earlier, later in pairwise(closed_s)) < budget_s / 4
    requests = reply.body["requests"]
    assert isinstance(requests, dict)
    assert (requests["cut"], requests["cut_streams"]) == (8, 8)


@contextmanager
def websockets_open(site: Site, codes: list[int]) -> Iterator[None]:
    """Keeps some of them, each opened again when it was closed; `codes` says how that went."""
    over = threading.Event()

    def keep() -> None:
        while not over.is_set():
            with connect_in_thread(f"ws://127.0.0.1:{site.port}/", close_timeout=1) as connection:
                while not over.is_set():
                    try:
                        assert connection.recv(timeout=0.1) in ("v1", "v2")
                    except TimeoutError:
                        continue
                    except ConnectionClosed as closed:
                        codes.append(closed.rcvd.code if closed.rcvd else 0)
                        break

    with ThreadPoolExecutor() as pool:
        kept = [pool.submit(keep) for _ in range(4)]
        try:
            yield
        finally:
            over.set()
        for one in kept:
            one.result()


def test_node_dies_at_once_under_two_workers_a_mixed_load_and_websockets(site: Site) -> None:
    tool("node")
    site.start(
        proxy_workers=2, start_command="node app.js", drain_timeout_ms=BUDGET_MS, health_timeout_ms=BOOT_LIMIT_MS
    )
    files = {"app.js": (CLIENTS / "plain_app.js").read_text()}
    switches, codes = 6, list[int]()

    load = switch_under_load(site, switches, files, websockets_open(site, codes))

    assert len(list(site.data.glob("proxy-*.sock"))) == 2
    assert load.failures == []
    assert set(load.answers) == {"v1", "v2"}
    assert set(codes) == {GOING_AWAY}
    assert len(codes) >= switches


def test_go_dies_at_once_under_a_mixed_load(site: Site) -> None:
    tool("go")
    site.start(setup_command="go build -o app app.go", start_command="./app")

    load = switch_under_load(site, 4, {"app.go": (CLIENTS / "plain_app.go").read_text()})

    assert load.failures == []
    assert set(load.answers) == {"v1", "v2"}
