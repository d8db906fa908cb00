"""HTTP to this machine. `http.client` ignores proxies that the environment names."""

import json
from contextlib import closing
from http.client import HTTPConnection
from typing import NamedTuple, cast

Body = dict[str, object]


class Reply(NamedTuple):
    status: int
    body: Body

    def says(self, status: int, fields: Body) -> bool:
        """Whether the reply has this status and at least these fields."""
        return self.status == status and fields.items() <= self.body.items()


def call(port: int, method: str, path: str, body: Body | None = None) -> Reply:
    status, content = exchange(port, method, path, body)
    try:
        parsed = json.loads(content)
    except ValueError:
        parsed = None
    assert isinstance(parsed, dict), f"{method} {path} answered {status} with no JSON object: {content[:500]!r}"
    return Reply(status, cast(Body, parsed))


def answers(port: int, path: str) -> bool:
    try:
        return exchange(port, "GET", path)[0] == 200
    except OSError:
        return False


def exchange(port: int, method: str, path: str, body: Body | None = None) -> tuple[int, bytes]:
    with closing(HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        if body is None:
            connection.request(method, path)
        else:
            connection.request(method, path, json.dumps(body), {"Content-Type": "application/json"})
        response = connection.getresponse()
        return response.status, response.read()
