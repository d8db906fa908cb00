"""The releases of an app as configs of Docker, which nobody can change: one of its beginning, and one of its end."""

import re
from collections.abc import Sequence
from typing import TypeVar

import msgspec

from slot_machine.core.errors import Busy
from slot_machine.engines.release import Ended, Release, read
from slot_machine.engines.swarm import names
from slot_machine.engines.swarm.answers import Config
from slot_machine.engines.swarm.docker import Docker

T = TypeVar("T", Release, Ended)

KIND = "config"
NUMBER = f"{names.PREFIX}.record"
END = f"{names.PREFIX}.end"
NUMERAL = re.compile(r"[0-9]{1,9}")


class Records:
    """All calls raise EngineFailed."""

    def __init__(self, docker: Docker, app: str) -> None:
        self._docker = docker
        self._app = app

    def releases(self) -> list[Release]:
        """The latest first."""
        begun, ended = {}, {}
        for config in self._docker.configs(self._app):
            labels = config.spec.labels or {}
            if number := _number(labels.get(NUMBER)):
                begun[number] = _decoded(config, Release)
            elif number := _number(labels.get(END)):
                ended[number] = _decoded(config, Ended)
        return [
            msgspec.structs.replace(begun[number], ended=ended.get(number)) for number in sorted(begun, reverse=True)
        ]

    def begin(self, release: Release) -> None:
        """Raises Busy: the name of a config is the lock between two computers."""
        name, number = names.record(self._app, release.number), str(release.number)
        if not self._docker.keep(KIND, name, {names.APP: self._app, NUMBER: number}, _encoded(release)):
            raise Busy(
                f"release {number} has been begun from another computer", "wait for its end: `slot-machine history`"
            )

    def end(self, release: Release, ended: Ended) -> None:
        """Raises Busy: the first end counts."""
        name, number = names.ending(self._app, release.number), str(release.number)
        if not self._docker.keep(KIND, name, {names.APP: self._app, END: number}, _encoded(ended)):
            raise Busy(f"release {number} has ended already", "`slot-machine history` tells how")

    def forget(self, releases: Sequence[Release]) -> None:
        """The ends last: a release without one would look as if it had been interrupted."""
        self._docker.drop(KIND, [names.record(self._app, release.number) for release in releases])
        self._docker.drop(KIND, [names.ending(self._app, release.number) for release in releases])


def _encoded(record: Release | Ended) -> str:
    return msgspec.json.encode(record).decode()


def _decoded(config: Config, shape: type[T]) -> T:
    return read(config.spec.content, shape, config.spec.name, f"docker config rm {config.spec.name}")


def _number(text: str | None) -> int:
    """0 if it is none."""
    return int(text) if text and NUMERAL.fullmatch(text) else 0
