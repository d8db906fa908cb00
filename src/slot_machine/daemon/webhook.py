"""The webhook: a small listener of its own, whose only effect is that `follow` looks at once."""

import asyncio
import logging
import os
import socket
from collections.abc import Mapping
from http import HTTPStatus

import msgspec

from slot_machine.app.clock import now
from slot_machine.app.follow import Following
from slot_machine.app.opening import Options
from slot_machine.core.daemon_config import DaemonConfig
from slot_machine.core.errors import ConfigError, EnvFileError, StartRefused
from slot_machine.core.proof import KNOWN, Check, Proof
from slot_machine.daemon.connection import NO_FIELDS, HttpError, Request, Response
from slot_machine.host.network import ports
from slot_machine.host.process import env_file

LARGEST_BODY = 25_000_000
"""In bytes; what GitHub sends at most."""
MOST_CONNECTIONS = 64
TELL_AGAIN_S = 60.0
"""A call that is refused is logged, unless one was so recently."""
PING = "ping"
EVENTS = ("x-github-event", "x-gitea-event", "x-forgejo-event", "x-gogs-event")
LOOPBACK = "127.0.0.1"
SHORT = 16

log = logging.getLogger(__name__)


class WebhookStatus(msgspec.Struct):
    """`port` is 0 if it does not listen; `error` says why. The times are RFC 3339, and empty if there was none."""

    url: str
    port: int
    secret_env: str
    accepted_at: str = ""
    refused_at: str = ""
    refused_why: str = ""
    refused: int = 0
    error: str = ""


def secret_of(options: Options) -> bytes:
    """Raises ConfigError if there is none: a webhook without a secret would obey everybody."""
    daemon, hook = options.config.daemon, options.config.daemon.webhook
    assert hook
    path = options.config_file.parent / daemon.env_file if daemon.env_file else None
    try:
        found = env_file.secret(hook.secret_env, path)
    except EnvFileError as error:
        hint = f"`openssl rand -hex 32 | slot-machine env set {hook.secret_env}` sets one; the forge gets the same"
        raise ConfigError(f"the webhook has no secret: {error}", hint) from None
    if len(found) < SHORT:
        log.warning("the webhook's secret %s is shorter than %d characters: take a longer one", hook.secret_env, SHORT)
    return os.fsencode(found)


def url_of(daemon: DaemonConfig, port: int) -> str:
    """What the forge is to call. The host name is a guess, unless the configuration has one."""
    assert daemon.webhook
    if daemon.webhook.domain:
        return f"https://{daemon.webhook.domain}{daemon.webhook.path}"
    host = daemon.public_url.partition("://")[2].rstrip("/")
    host = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    return f"http://{host or socket.gethostname()}:{port}{daemon.webhook.path}"


def opened(options: Options, kept: socket.socket | None, *, reloads: bool) -> "Webhook | None":
    """None if there is none. `kept` is the socket of the image before, which is taken over if the place is the same.

    Raises ConfigError, StartRefused. After a reload it raises nothing: the app runs, and `follow` looks anyway.
    """
    daemon = options.config.daemon
    if not daemon.webhook:
        if kept:
            kept.close()
        return None
    try:
        secret = secret_of(options)
        listener = _listener(daemon, kept)
    except (ConfigError, StartRefused) as error:
        if kept:
            kept.close()
        if not reloads:
            raise
        log.error("the webhook does not listen: %s", error)
        return Webhook(daemon, b"", None, str(error))
    return Webhook(daemon, secret, listener)


def _listener(daemon: DaemonConfig, kept: socket.socket | None) -> socket.socket:
    """Raises StartRefused."""
    port = daemon.webhook_port
    address = LOOPBACK if daemon.webhook and daemon.webhook.domain else daemon.bind
    if kept and port in (0, kept.getsockname()[1]) and ports.is_at(kept, address):
        return kept
    if kept:
        kept.close()
    return ports.bind_public(port, address)


class Webhook:
    """The site that answers the calls. It keeps nothing of them but when the last one came."""

    def __init__(self, daemon: DaemonConfig, secret: bytes, listener: socket.socket | None, error: str = "") -> None:
        assert daemon.webhook
        port = listener.getsockname()[1] if listener else 0
        url = url_of(daemon, port or daemon.webhook_port)
        self.status = WebhookStatus(url, port, daemon.webhook.secret_env, error=error)
        self.listener = listener
        self.following: Following | None = None
        """It is asked to look. Without it, nothing is done."""
        self._path = daemon.webhook.path
        self._secret = secret
        self._told_s = -TELL_AGAIN_S

    async def answer(self, request: Request) -> Response:
        """Raises ConnectionError if the client has left."""
        try:
            return await self._answer(request)
        except HttpError as error:
            return self.refuse(error)

    def refuse(self, error: HttpError) -> Response:
        allow = {"Allow": error.allow} if error.allow else NO_FIELDS
        return _text(error.status, error.status.phrase.lower(), allow)

    async def _answer(self, request: Request) -> Response:
        """Raises HttpError, ConnectionError."""
        if request.target.partition("?")[0] != self._path:
            raise HttpError(HTTPStatus.NOT_FOUND)
        if request.method != "POST":
            raise HttpError(HTTPStatus.METHOD_NOT_ALLOWED, "POST")
        if _too_large(request.first("content-length")):
            raise HttpError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        proof = Proof.of(request.fields)
        if not proof:
            return self._unauthorized(f"it has not one of {', '.join(KNOWN)}")
        check = Check(proof, self._secret)
        await request.read(check.take, LARGEST_BODY)
        if not check.holds():
            return self._unauthorized(f"{proof.field} does not match the secret")
        self.status.accepted_at = now()
        if any(request.first(name) == PING for name in EVENTS):
            return _text(HTTPStatus.OK, "pong")
        if not self.following:
            return _text(HTTPStatus.CONFLICT, "follow is off, so nothing was done")
        self.following.look_soon()
        return _text(HTTPStatus.ACCEPTED, "it looks at the branch")

    def _unauthorized(self, why: str) -> Response:
        status, now_s = self.status, asyncio.get_running_loop().time()
        status.refused, status.refused_at, status.refused_why = status.refused + 1, now(), why
        if now_s - self._told_s >= TELL_AGAIN_S:
            self._told_s = now_s
            log.warning("a call of the webhook was refused: %s (%d so far)", why, status.refused)
        return _text(HTTPStatus.UNAUTHORIZED, why, {"WWW-Authenticate": "Bearer"})


def _too_large(length: str) -> bool:
    return length.isdigit() and int(length) > LARGEST_BODY


def _text(status: int, words: str, fields: Mapping[str, str] = NO_FIELDS) -> Response:
    return Response(status, f"{words}\n".encode(), "text/plain; charset=utf-8", fields)
