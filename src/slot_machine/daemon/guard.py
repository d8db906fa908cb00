"""Who may use the API: which web pages are refused, and what a caller must show to change something."""

import asyncio
import ipaddress
import os
import re
from collections.abc import Collection
from pathlib import Path
from socket import AF_UNIX

from slot_machine.core.errors import Forbidden, Unauthorized
from slot_machine.daemon import publication
from slot_machine.daemon.connection import Request
from slot_machine.host.network import peer
from slot_machine.host.process.threads import in_thread
from slot_machine.host.registry import Entry
from slot_machine.host.user import account, rights, token
from slot_machine.proxy.heads.forwarded import forwarding

ROOT = 0
HARMLESS = ("GET", "HEAD")
HOST_AND_PORT = re.compile(r"(?P<name>localhost|[0-9.]+|\[(?P<address>[0-9a-f:]+)\])(:[0-9]{1,5})?", re.IGNORECASE)
PUSH = "/push"
OWN_PAGES = ("none", "same-origin")
"""In Sec-Fetch-Site: the user typed the address, or the API made the page. Other ports of localhost are `same-site`."""

VIA = "via"
REQUEST_ID = "x-request-id"


class Guard:
    """`data` is the folder with the token. Without `authenticates`, all users of this machine may change things.

    A request over TCP must not mean another app than that of `entry`. `pusher` is a user who may push, and change
    nothing else; -1 if there is none.
    """

    def __init__(self, data: Path, *, authenticates: bool, entry: Entry | None = None, pusher: int = -1) -> None:
        self.app = entry.name if entry else ""
        self._entry = entry
        self._data = data
        self._authenticates = authenticates
        self._asking = asyncio.Lock()
        """Held while the kernel's tables are read, so that callers can't occupy all threads with that."""
        self._own = (os.geteuid(), ROOT)
        self._pusher = pusher
        self._users = " or ".join(dict.fromkeys(map(account.name, self._own)))

    async def check(self, request: Request) -> None:
        """Raises Forbidden, WrongApp, Unauthorized."""
        refuse_web_pages(request)
        if self._entry and not _came_by_file(request):
            publication.check_meant(request, self._entry)
        if request.method in HARMLESS or await self.may_change(request):
            return
        pushes = request.target == PUSH
        if pushes and self._pusher >= 0 and await self._is_of(request, (self._pusher,)):
            return
        hint = (
            f"run slot-machine as {self._users}; other clients send `Authorization: Bearer TOKEN`, with the token"
            f" in {self._data / token.NAME}"
        )
        if pushes and rights.other():
            hint = "let root's daemon take pushes of that user: set `push_as_user` in its configuration, and reload"
        raise Unauthorized(f"only {self._users} may change anything here, and clients that send the API's token", hint)

    async def may_change(self, request: Request) -> bool:
        """Whether its caller may change things. Others may read, but get no secret."""
        return not self._authenticates or await self._is_known(request)

    def is_of(self, data: str) -> bool:
        """Whether that is the data folder of this daemon."""
        return Path(data) == self._data

    async def name(self, request: Request) -> str:
        """Of the user whose connection it is, or what else lets the caller in; empty if nobody knows."""
        if self._has_token(request):
            return "API token"
        connection = request.socket
        if connection is None or _was_passed_on(request):
            return ""
        if _came_by_file(request):
            return account.name(peer.uid_by_file(connection))
        async with self._asking:
            uid = await in_thread(lambda: peer.uid(connection))
        return "" if uid is None else account.name(uid)

    async def _is_known(self, request: Request) -> bool:
        return _came_by_file(request) or self._has_token(request) or await self._is_of(request, self._own)

    def _has_token(self, request: Request) -> bool:
        given = request.all("authorization")
        scheme, _, credentials = given[0].partition(" ") if len(given) == 1 else ("", "", "")
        return scheme.lower() == "bearer" and token.matches(self._data, credentials.strip())

    async def _is_of(self, request: Request, users: Collection[int]) -> bool:
        """Whether one of these users has made the connection."""
        connection = request.socket
        if connection is None or _was_passed_on(request):
            return False
        async with self._asking:
            return await in_thread(lambda: peer.uid(connection)) in users


def refuse_web_pages(request: Request) -> None:
    """DNS rebinding shows in Host, a page of another site in Origin or in Sec-Fetch-Site. Raises Forbidden."""
    hosts, origins = request.all("host"), request.all("origin")
    if len(hosts) != 1 or not is_local(hosts[0]) or not request.target.startswith("/"):
        raise Forbidden("only local clients may use this API", "send `Host: localhost`")
    if origins and origins != [f"http://{hosts[0]}"]:
        raise Forbidden("no web page of another origin may use this API")
    if not set(request.all("sec-fetch-site")) <= set(OWN_PAGES):
        raise Forbidden("no web page of another site may use this API")


def is_local(host: str) -> bool:
    """Whether a Host field is a plain name or address of loopback, with or without a port."""
    found = HOST_AND_PORT.fullmatch(host)
    if not found:
        return False
    try:
        name = found["address"] or found["name"]
        return name.lower() == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _came_by_file(request: Request) -> bool:
    """Whether it came over the Unix socket, where the file's mode decides who may connect."""
    return request.socket is not None and request.socket.family == AF_UNIX


def _was_passed_on(request: Request) -> bool:
    """Whether a proxy made the connection. It acts for somebody else."""
    names = {name for name, _ in request.fields} - {REQUEST_ID}
    return VIA in names or any(forwarding(name.encode()) for name in names)
