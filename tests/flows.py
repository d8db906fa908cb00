"""Deploys on an engine in memory, by clients that fail, are interrupted or are killed at any step."""

import json
from collections.abc import Callable, Iterator
from contextlib import suppress

import msgspec

from slot_machine.core.daemon_config import DaemonConfig
from slot_machine.core.engine_config import Swarm
from slot_machine.core.origin import Description
from slot_machine.core.version_config import Process, VersionConfig
from slot_machine.engines.flow import Asked, Flow
from slot_machine.engines.shape import App, Values
from slot_machine.engines.stages import Line
from tests.fake_engine import Cluster, FakeEngine, FakeImages, Killed

DAEMON = DaemonConfig(name="shop", env_file=".env", engine=Swarm())
OLD, NEW, NEXT = (digit * 40 for digit in "abc")
OLD_KEY, NEW_KEY = "the-old-secret-key", "the-new-secret-key"
LONG_AGO = "2000-01-01T00:00:00Z"

At = Callable[[FakeEngine, str, int], None]
"""What happens at a step: the engine, `before` or `after`, and which step of the client it is."""


class World:
    """A cluster on which OLD is live, unless it is `empty`."""

    def __init__(self, *, empty: bool = False) -> None:
        self.cluster = Cluster()
        self.keys: set[str] = set()
        self.said: list[Line] = []
        self.key = OLD_KEY
        if not empty:
            assert self.deploy(OLD)["success"]

    def engine(self, at: At | None = None) -> FakeEngine:
        engine = FakeEngine(self.cluster)
        if at:
            engine.before = lambda _: at(engine, "before", len(engine.steps))
            engine.after = lambda _: at(engine, "after", len(engine.steps))
        return engine

    def flow(self, engine: FakeEngine | None = None, *, can_read: bool = True) -> Flow:
        """Without `can_read`, there is no env_file where the command runs."""
        engine = engine or self.engine()
        self.keys.add(self.key)
        self.cluster.printed = self.key
        asked = Asked("ada", f"because of {self.key}", "main")
        values = Values({"API_KEY": self.key, "SHORT": "1"}) if can_read else None
        return Flow(engine, FakeImages(), "shop", asked, values)

    def app(self, commit: str) -> App:
        workers: dict[str, str | Process] = {} if commit == OLD else {"worker": "work"}
        version = VersionConfig(start_command="serve", release_command="migrate", processes=workers)
        digest = Values({"API_KEY": self.key, "SHORT": "1"}).digest
        return App(
            name="shop", commit=commit, image=f"shop:{commit}", version=version, daemon=DAEMON, env_digest=digest
        )

    def deploy(self, commit: str, engine: FakeEngine | None = None, *, force: bool = False) -> Line:
        return self.follow(self.lines(commit, engine, force=force))

    def lines(self, commit: str, engine: FakeEngine | None = None, *, force: bool = False) -> Iterator[Line]:
        return self.flow(engine).deploy(self.app(commit), Description(f"subject of {commit[:4]}", "ada"), force=force)

    def rollback(self, to: str = "", engine: FakeEngine | None = None, *, can_read: bool = True) -> Line:
        return self.follow(self.flow(engine, can_read=can_read).rollback(DAEMON, to))

    def restart(self, engine: FakeEngine | None = None, daemon: DaemonConfig = DAEMON) -> Line:
        return self.follow(self.flow(engine).restart(daemon))

    def cancel(self) -> Line:
        return self.follow(self.flow().cancel())

    def follow(self, lines: Iterator[Line]) -> Line:
        """The reply; empty if the client was killed."""
        reply: Line = {}
        with suppress(Killed):
            for line in lines:
                self.said.append(line)
                reply = line if "event" not in line else {}
        return reply

    def pass_time(self) -> None:
        """So much that no attempt can still run."""
        for number, record in self.cluster.records.items():
            self.cluster.records[number] = msgspec.structs.replace(record, until=LONG_AGO)

    def leaks(self) -> list[str]:
        """Values of variables that can be read where they should not be."""
        told = json.dumps(self.said) + msgspec.json.encode(list(self.cluster.records.values())).decode()
        return [key for key in self.keys if key in told]
