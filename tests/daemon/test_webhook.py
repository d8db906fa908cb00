"""The webhook's listener on loopback: what it answers to forges, strangers, slow clients and noise."""

import asyncio
import hashlib
import hmac
import random
import socket
from collections.abc import Awaitable, Callable, Mapping
from typing import cast

import msgspec
import pytest

from slot_machine.app.follow import Following
from slot_machine.core.daemon_config import DaemonConfig, Webhook
from slot_machine.daemon import server, webhook
from slot_machine.daemon.server import Server
from slot_machine.daemon.webhook import LARGEST_BODY, MOST_CONNECTIONS, url_of

SECRET = b"0123456789abcdef"
PATH = "/.slot-machine/hook"
BODY = b'{"ref": "refs/heads/main"} and this is no JSON'
ROUNDS = 250


class Looks:
    def __init__(self) -> None:
        self.number = 0

    def look_soon(self) -> None:
        self.number += 1


def signed(body: bytes) -> str:
    return hmac.new(SECRET, body, hashlib.sha256).hexdigest()


GITHUB = {"X-Hub-Signature-256": f"sha256={signed(BODY)}", "X-GitHub-Event": "push"}
FORGES = {
    "GitHub": GITHUB,
    "GitLab": {"X-Gitlab-Token": SECRET.decode(), "X-Gitlab-Event": "Push Hook"},
    "Gitea": {"X-Gitea-Signature": signed(BODY), "X-Gitea-Event": "push"},
    "Forgejo": {"X-Forgejo-Signature": signed(BODY), "X-Forgejo-Event": "push"},
    "bearer": {"Authorization": f"Bearer {SECRET.decode()}"},
}
NO_PROOF = {"Cookie": "none"}


def call(fields: Mapping[str, str] = GITHUB, *, body: bytes = BODY, path: str = PATH, method: str = "POST") -> bytes:
    lines = [f"{name}: {value}" for name, value in fields.items()]
    head = "\r\n".join([f"{method} {path} HTTP/1.1", "Host: x", f"Content-Length: {len(body)}", *lines])
    return head.encode() + b"\r\n\r\n" + body


class Running:
    def __init__(self, port: int, site: webhook.Webhook, looks: Looks, server: Server) -> None:
        self.server = server
        self.port = port
        self.site = site
        self.looks = looks

    async def ask(self, request: bytes) -> tuple[int, str]:
        """Status and text; status 0 if the connection ends without a reply."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(request)
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            return int(head.split()[1]), (await asyncio.wait_for(reader.readexactly(length), 20)).decode().strip()
        except (asyncio.IncompleteReadError, ConnectionError):
            return 0, ""
        finally:
            writer.close()


def served(story: Callable[[Running], Awaitable[None]], *, follows: bool = True) -> None:
    async def run() -> None:
        looks = Looks()
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
            daemon = DaemonConfig(webhook=Webhook(path=PATH, secret_env="S"), webhook_port=port)
            site = webhook.Webhook(daemon, SECRET, listener)
            site.following = cast(Following, looks) if follows else None
            made = Server(listener, site, MOST_CONNECTIONS)
            made.start()
            try:
                await story(Running(port, site, looks, made))
            finally:
                await made.stop()

    asyncio.run(asyncio.wait_for(run(), 60))


def test_each_forge_is_answered_at_once_and_makes_it_look() -> None:
    async def story(made: Running) -> None:
        for number, fields in enumerate(FORGES.values(), 1):
            assert await made.ask(call(fields)) == (202, "it looks at the branch")
            assert made.looks.number == number
        assert made.site.status.accepted_at
        assert made.site.status.refused == 0

    served(story)


def test_what_does_not_prove_that_it_knows_the_secret_does_nothing_and_is_counted() -> None:
    async def story(made: Running) -> None:
        wrong = {name: value[:-1] + ("1" if value[-1] == "0" else "0") for name, value in GITHUB.items()}
        assert await made.ask(call(wrong)) == (401, "x-hub-signature-256 does not match the secret")
        assert await made.ask(call(body=BODY + b"!")) == (
            401,
            "x-hub-signature-256 does not match the secret",
        )
        assert await made.ask(call({"X-Gitlab-Token": "guessed"})) == (401, "x-gitlab-token does not match the secret")
        status, why = await made.ask(call(NO_PROOF))
        assert (status, why[:18]) == (401, "it has not one of ")
        assert made.looks.number == 0
        assert made.site.status.refused == 4
        assert made.site.status.refused_why == why

    served(story)


def test_call_without_a_proof_is_refused_before_its_body_comes() -> None:
    async def story(made: Running) -> None:
        head, _, _ = call(NO_PROOF).partition(BODY)
        assert (await made.ask(head))[0] == 401

    served(story)


def test_ping_is_answered_and_makes_it_do_nothing() -> None:
    async def story(made: Running) -> None:
        for forge, event in (("GitHub", "X-GitHub-Event"), ("Gitea", "X-Gitea-Event")):
            assert await made.ask(call(FORGES[forge] | {event: "ping"})) == (200, "pong")
        assert (await made.ask(call({"X-GitHub-Event": "ping"})))[0] == 401
        assert made.looks.number == 0

    served(story)


def test_call_does_nothing_while_follow_is_off() -> None:
    async def story(made: Running) -> None:
        assert await made.ask(call()) == (409, "follow is off, so nothing was done")
        assert made.looks.number == 0

    served(story, follows=False)


def test_only_a_post_of_its_path_is_answered() -> None:
    async def story(made: Running) -> None:
        assert (await made.ask(call(path=f"{PATH}?from=here")))[0] == 202
        for path in ("/", f"{PATH}/", f"/x{PATH}", PATH.upper(), "/status", "/deploy"):
            assert (await made.ask(call(path=path)))[0] == 404
        for method in ("GET", "PUT", "DELETE", "OPTIONS"):
            assert (await made.ask(call(method=method)))[0] == 405
        assert made.looks.number == 1

    served(story)


def test_body_of_25_mb_is_taken_and_a_larger_one_is_refused() -> None:
    async def story(made: Running) -> None:
        assert (await made.ask(call({"X-Gitlab-Token": SECRET.decode()}, body=bytes(LARGEST_BODY))))[0] == 202
        declared = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: {LARGEST_BODY + 1}\r\nX-Gitlab-Token: x\r\n\r\n"
        assert (await made.ask(declared.encode()))[0] == 413

    served(story)


def test_body_that_does_not_say_how_large_it_is_is_limited_too(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(made: Running) -> None:
        fields = f"Host: x\r\nTransfer-Encoding: chunked\r\nX-Gitlab-Token: {SECRET.decode()}"
        head = f"POST {PATH} HTTP/1.1\r\n{fields}\r\n\r\n"
        assert (await made.ask(head.encode() + b"3e8\r\n" + bytes(1000) + b"\r\n0\r\n\r\n"))[0] == 202
        assert (await made.ask(head.encode() + b"3e9\r\n" + bytes(1001) + b"\r\n0\r\n\r\n"))[0] == 413

    monkeypatch.setattr(webhook, "LARGEST_BODY", 1000)
    served(story)


@pytest.mark.parametrize("part", ["head", "body"])
def test_slow_clients_keep_nobody_out(part: str) -> None:
    """So many as there are places have sent a part of a head or of a body, and more want to."""

    async def story(made: Running) -> None:
        slow = [await asyncio.open_connection("127.0.0.1", made.port) for _ in range(MOST_CONNECTIONS * 2)]
        for _, writer in slow:
            writer.write(call()[: 30 if part == "head" else -5])
        places = made.server._open
        body = part == "body"
        while len(places) < MOST_CONNECTIONS or any(one.answering != body for one in places):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        for _ in range(5):
            assert (await made.ask(call()))[0] == 202
        for _, writer in slow:
            writer.close()

    served(story)


def test_call_whose_body_stops_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(made: Running) -> None:
        assert (await made.ask(call()[:-5]))[0] == 408
        assert made.looks.number == 0

    monkeypatch.setattr("slot_machine.daemon.connection.BODY_WITHIN_S", 0.1)
    served(story)


def test_noise_is_refused_and_changes_nothing() -> None:
    """Good calls of which bytes were changed, cut out, doubled or added."""
    chance = random.Random(7)

    def spoiled() -> bytes:
        request = bytearray(call(chance.choice(list(FORGES.values()))))
        for _ in range(chance.randint(1, 4)):
            at = chance.randrange(len(request))
            match chance.randrange(4):
                case 0:
                    request[at] = chance.randrange(256)
                case 1:
                    del request[at : at + chance.randint(1, 30)]
                case 2:
                    request[at:at] = request[at : at + 20]
                case _:
                    request[at:at] = chance.randbytes(chance.randint(1, 20))
        return bytes(request)

    async def story(made: Running) -> None:
        for _ in range(ROUNDS):
            request = spoiled()
            before = made.looks.number
            reader, writer = await asyncio.open_connection("127.0.0.1", made.port)
            writer.write(request)
            writer.write_eof()
            reply = await asyncio.wait_for(reader.read(), 20)
            writer.close()
            status = int(reply.split()[1]) if reply else 0
            assert status in (0, 202, 400, 401, 404, 405, 408, 413, 414, 431, 501), (request, reply)
            known = SECRET in request or signed(BODY).encode() in request
            assert known or made.looks.number == before, request
        assert (await made.ask(call()))[0] == 202

    monkey = pytest.MonkeyPatch()
    monkey.setattr(server, "FIRST_REQUEST_S", 0.1)
    served(story)
    monkey.undo()


@pytest.mark.parametrize(
    ("fields", "url"),
    [
        ({"public_url": "https://shop.example.com"}, f"http://shop.example.com:9300{PATH}"),
        ({"public_url": "http://shop.example.com:3000/"}, f"http://shop.example.com:9300{PATH}"),
        ({"public_url": "http://[::1]:3000"}, f"http://[::1]:9300{PATH}"),
        ({"public_url": "http://[::1]"}, f"http://[::1]:9300{PATH}"),
        ({}, f"http://{socket.gethostname()}:9300{PATH}"),
        ({"webhook": Webhook(secret_env="S", domain="hooks.example.com")}, f"https://hooks.example.com{PATH}"),
    ],
)
def test_address_that_is_shown_is_the_one_to_call(fields: dict[str, object], url: str) -> None:
    daemon = msgspec.structs.replace(DaemonConfig(webhook=Webhook(secret_env="S"), webhook_port=9300), **fields)

    assert url_of(daemon, 9300) == url
