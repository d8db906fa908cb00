"""The servers of `--host`, `--to` and the field `hosts`: which names of servers are allowed, since ssh gets them."""

import re
from typing import Annotated
from urllib.parse import quote

import msgspec

from slot_machine.core.defaults import LARGEST_PORT

USER = r"[A-Za-z0-9_][A-Za-z0-9_.+-]*\$?"
HOST = r"[A-Za-z0-9_][A-Za-z0-9_.-]*"
IPV6 = r"[0-9A-Fa-f]{0,4}:[0-9A-Fa-f]{0,4}:[0-9A-Fa-f:.]*(?:%[A-Za-z0-9_.-]+)?"
DESTINATION = re.compile(rf"({USER}@)?({HOST}|{IPV6})|ssh://({USER}@)?({HOST}|\[{IPV6}\])(:(?P<port>[0-9]{{1,5}}))?/?")
"""No option of ssh, and no character that a shell in a ProxyCommand would obey (CVE-2023-51385)."""
SCHEME = "ssh://"
PROGRAM = "slot-machine"
PATH = re.compile(rf"(/([^\x00-\x1f\x7f]*/)?)?{PROGRAM}")
"""No other program: the field may be in a file of somebody else's commit."""


class Server(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`host` is `[user@]host`, as ssh takes it, or `ssh://[user@]host[:port]`. `app` is what `-a` would name there.

    `program` is the path of slot-machine, where the shell of ssh does not find it.
    """

    host: str
    app: str = ""
    program: str = PROGRAM

    def url(self, path: str) -> str:
        """Of a repository there, for git."""
        if self.host.startswith(SCHEME):
            return self.host.rstrip("/") + quote(path)
        user, at, host = self.host.rpartition("@")
        return f"{SCHEME}{user}{at}{f'[{host}]' if ':' in host else host}{quote(path)}"


Servers = str | Server | Annotated[tuple[str | Server, ...], msgspec.Meta(min_length=1)]
"""Of one stage, such as `production`."""


def each(servers: Servers) -> tuple[Server, ...]:
    """Raises ValueError for what is no plain name of a server, and for another program."""
    listed = servers if isinstance(servers, tuple) else (servers,)
    found = tuple(one if isinstance(one, Server) else Server(one) for one in listed)
    for server in found:
        written = DESTINATION.fullmatch(server.host)
        if not written or not 1 <= int(written["port"] or 22) <= LARGEST_PORT:
            raise ValueError(f"{server.host!r} is no server: write user@host, host, or ssh://user@host:port")
        if not PATH.fullmatch(server.program):
            raise ValueError(f"program: {server.program!r} is no absolute path that ends with /{PROGRAM}")
    return found
