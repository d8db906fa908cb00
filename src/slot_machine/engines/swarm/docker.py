"""The questions that are asked of a swarm's manager, and the answers as `answers` has them."""

from collections.abc import Sequence
from typing import TypeVar

import msgspec

from slot_machine.core.errors import EngineFailed
from slot_machine.engines.client import LIMIT_S, Answer, Client
from slot_machine.engines.swarm import names
from slot_machine.engines.swarm.answers import Config, Node, Service, Task

T = TypeVar("T")

PROGRAM = "docker"
GONE = ("no such ", " not found")
"""In what `docker` says of what has ended since it was listed."""
EXISTS = "AlreadyExists"
OVERTAKEN = "out of sequence"
"""The engine has written to a service or a node, such as the state of an update, since the client has read it."""
TRIES = 5


class Docker:
    """`context` is one of `docker`'s own, empty for the current one. All calls raise EngineFailed."""

    def __init__(self, context: str = "", client: Client | None = None) -> None:
        self.client = client or Client(PROGRAM, *(["--context", context] if context else []))

    def services(self, app: str) -> list[Service]:
        """All of the app, jobs too."""
        ids = self.lines("service", "ls", "--quiet", "--filter", f"label={names.APP}={app}")
        return self._inspected("service", ids, list[Service])

    def every_service(self) -> list[Service]:
        return self._inspected("service", self.lines("service", "ls", "--quiet"), list[Service])

    def tasks(self, services: Sequence[Service]) -> list[Task]:
        """Those that ended too, as far as the engine remembers them."""
        if not services:
            return []
        answer = self.client.attempt("service", "ps", "--quiet", "--no-trunc", *(service.id for service in services))
        if answer.code and not _gone(answer):
            raise self.client.failure("service ps", answer)
        return self._inspected("task", answer.out.split(), list[Task])

    def nodes(self) -> list[Node]:
        return self._inspected("node", self.lines("node", "ls", "--quiet"), list[Node])

    def configs(self, app: str) -> list[Config]:
        ids = self.lines("config", "ls", "--quiet", "--filter", f"label={names.APP}={app}")
        return self._inspected("config", ids, list[Config])

    def secrets(self, app: str) -> list[Config]:
        ids = self.lines("secret", "ls", "--quiet", "--filter", f"label={names.APP}={app}")
        return self._inspected("secret", ids, list[Config])

    def lines(self, *args: str) -> list[str]:
        return self.client.run(*args).split()

    def change(self, *args: str, given: str = "", limit_s: float = LIMIT_S) -> None:
        """Of services or a node. Tries again if the engine itself has just changed one of them."""
        for _ in range(TRIES):
            answer = self.client.attempt(*args, given=given, limit_s=limit_s)
            if not answer.code:
                return
            if OVERTAKEN not in answer.err:
                break
        raise self.client.failure(" ".join(args[:2]), answer)

    def keep(self, kind: str, name: str, labels: dict[str, str], content: str) -> bool:
        """As a config or a secret, which nobody can change afterwards. False if there is one with that name."""
        answer = self.client.attempt(kind, "create", *options("--label", labels), name, "-", given=content)
        if answer.code and EXISTS not in answer.err:
            raise self.client.failure(f"{kind} create", answer)
        return not answer.code

    def drop(self, kind: str, ids: Sequence[str]) -> None:
        """Removes what is there of them."""
        if not ids:
            return
        answer = self.client.attempt(kind, "rm", *ids)
        if answer.code and not _gone(answer):
            raise self.client.failure(f"{kind} rm", answer)

    def _inspected(self, kind: str, ids: Sequence[str], shape: type[list[T]]) -> list[T]:
        """What has ended meanwhile is left out."""
        if not ids:
            return []
        words = ("inspect", "--type", kind) if kind == "task" else (kind, "inspect")
        answer = self.client.attempt(*words, *ids)
        if answer.code and not _gone(answer):
            raise self.client.failure(f"{kind} inspect", answer)
        try:
            return msgspec.json.decode(answer.out or "[]", type=shape)
        except msgspec.DecodeError as error:
            raise EngineFailed(f"docker {kind} inspect printed what is not understood: {error}") from None


def options(name: str, values: dict[str, str]) -> list[str]:
    """`--label a=b --label c=d`."""
    return [word for key, value in values.items() for word in (name, f"{key}={value}")]


def _gone(answer: Answer) -> bool:
    """Whether it failed for nothing but that."""
    lines = [line.lower() for line in answer.err.strip().splitlines()]
    return bool(lines) and all(any(words in line for words in GONE) for line in lines)
