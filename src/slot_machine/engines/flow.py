"""A deploy, rollback or restart on any engine: the order of its stages.

There is no daemon: what is here runs in the command.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import NamedTuple, Protocol

import msgspec

from slot_machine.core.daemon_config import DaemonConfig
from slot_machine.core.errors import (
    EngineFailed,
    EnvFileError,
    NothingToCancel,
    NothingToRestart,
    NothingToRollBackTo,
)
from slot_machine.core.masking import Masking
from slot_machine.core.model import short
from slot_machine.core.origin import Description
from slot_machine.core.phases import Phase
from slot_machine.engines.attempt import Attempt, Attempted
from slot_machine.engines.engine import Engine, Steps
from slot_machine.engines.present import Present, is_whole, look
from slot_machine.engines.release import Ended, Kind, Release, now, numbered, previous, wanted
from slot_machine.engines.shape import App, Values, kept
from slot_machine.engines.stages import Line, Stages

IMAGE_LIMIT_S = 1800.0
"""To bring an image to a registry or to all nodes."""
ROLLOUT_SPARE_S = 600.0
"""Of a release, beside its own time limits: nodes pull the image, and copies take turns."""


class Images(Protocol):
    def build(self, app: App, platforms: Sequence[str]) -> Steps:
        """The image of the app's commit, unless there is one that is the same. Raises StageFailed."""


class Asked(NamedTuple):
    """Who asks for it and why, and by which branch or tag the commit was found."""

    who: str = ""
    message: str = ""
    ref: str = ""


class Flow:
    """Each call yields the progress, and at the end the reply: `success`, and `error`, `stage`, `hint` of a failure.

    `values` are the variables of now; None if they can't be read here, which only some rollbacks need not mind.
    """

    def __init__(self, engine: Engine, images: Images, name: str, asked: Asked, values: Values | None) -> None:
        self._masking = Masking()
        self._masking.learn(values.variables if values else {})
        self._engine = engine
        self._images = images
        self._asked = asked
        self._values = values
        self._stages = Stages(name, self._masking)
        self._attempt = Attempt(engine, self._stages, self._masking)

    def deploy(
        self, app: App, description: Description, warnings: Sequence[str] = (), *, force: bool = False
    ) -> Iterator[Line]:
        """`app` has no number yet. `warnings` are those of its configuration."""
        return self._attempt.run("deploy", app.commit, self._deploy(app, description, warnings, force=force))

    def rollback(self, daemon: DaemonConfig, to: str = "") -> Iterator[Line]:
        """`daemon` has the fields of now, `to` the number or commit of a release; else it is the one before."""
        return self._attempt.run("rollback", "", self._rollback(daemon, to))

    def restart(self, daemon: DaemonConfig) -> Iterator[Line]:
        """With the variables and the daemon's fields of now."""
        return self._attempt.run("restart", "", self._restart(daemon))

    def cancel(self) -> Iterator[Line]:
        """Ends an attempt of a client that is gone: as succeeded if it is whole, else by going back."""
        return self._attempt.run("cancel", "", self._cancel())

    def _deploy(self, app: App, description: Description, warnings: Sequence[str], *, force: bool) -> Attempted:
        self._stages.stage = Phase.RESOLVE.stage
        for warning in [*warnings, *self._engine.refuse(app)]:
            yield self._stages.warn(warning)
        present = look(self._engine)
        if not force and (good := present.good) and _same(good.app, app) and is_whole(self._engine, good):
            return _reply("deploy", good, already_live=True)
        app = msgspec.structs.replace(app, release=present.next)
        release = self._release("deploy", app, present)
        release = msgspec.structs.replace(release, subject=description.subject, author=description.author)
        self._attempt.begin(release, present)
        yield from self._stages.run(
            Phase.BUILD, f"build {app.image}", self._images.build(app, self._engine.platforms())
        )
        yield from self._stages.run(Phase.BUILD, f"bring {short(app.commit)} to the nodes", self._given(app))
        if app.version.release_command:
            yield from self._stages.run(Phase.RELEASE, app.version.release_command, self._engine.run_release(app))
        return (yield from self._roll_out(release, present))

    def _rollback(self, daemon: DaemonConfig, to: str) -> Attempted:
        present = look(self._engine)
        good, releases = present.good, present.releases
        if not present.live or (not good and not to):
            raise NothingToRollBackTo("nothing is live that a record tells of", "deploy a commit instead")
        target = wanted(releases, to) if to else previous(releases, good) if good else releases[0]
        if good and good.target == target.target and is_whole(self._engine, good):
            hint = "name another release of `slot-machine history`"
            raise NothingToRollBackTo(f"{short(target.commit)} is live already", hint)
        app, manifest = target.app, target.manifest
        if app.env_digest not in self._kept(present):
            app = msgspec.structs.replace(app, release=present.next, env_digest=self._now().digest)
            manifest = self._engine.manifest(app)
            yield self._stages.warn(f"release {target.number} had other variables: it gets those that env_file has now")
        if kept(app) != kept(msgspec.structs.replace(app, daemon=daemon)):
            yield self._stages.warn(
                f"release {target.number} comes with the daemon's fields that it had:"
                " `slot-machine restart` applies those of slot-machine.json"
            )
        release = msgspec.structs.replace(
            self._release("rollback", app, present),
            target=app.release,
            manifest=manifest,
            subject=target.subject,
            author=target.author,
        )
        self._attempt.begin(release, present)
        yield from self._stages.run(Phase.BUILD, f"bring {short(target.commit)} to the nodes", self._given(app))
        return (yield from self._roll_out(release, present))

    def _restart(self, daemon: DaemonConfig) -> Attempted:
        present = look(self._engine)
        if not (good := present.good):
            raise NothingToRestart("nothing is live that a record tells of", "`slot-machine deploy` begins one")
        number = present.next
        app = msgspec.structs.replace(good.app, release=number, daemon=daemon, env_digest=self._now().digest)
        for warning in self._engine.refuse(app):
            yield self._stages.warn(warning)
        release = self._release("restart", app, present)
        release = msgspec.structs.replace(release, subject=good.subject, author=good.author)
        self._attempt.begin(release, present)
        return (yield from self._roll_out(release, present))

    def _cancel(self) -> Attempted:
        releases = self._engine.releases()
        if not releases or releases[0].ended:
            raise NothingToCancel("nothing runs", "`slot-machine history` tells what ran")
        running = releases[0]
        if is_whole(self._engine, running):
            self._engine.end(running, Ended(result="succeeded", ended_at=now()))
            return _reply(running.kind, running, complete=True)
        good = numbered(releases, running.before)
        if good:
            yield from self._attempt.restored(good)
        elif running.before == 0:
            self._engine.remove(running.app)
        self._engine.end(running, Ended(result="cancelled", ended_at=now()))
        return _reply(running.kind, running, complete=False)

    def _roll_out(self, release: Release, present: Present) -> Attempted:
        copies = sum(release.app.processes.values())
        what = f"start {copies} cop{'y' if copies == 1 else 'ies'} of {short(release.commit)}, one after the other"
        yield from self._stages.run(Phase.START, what, self._applied(release))
        yield from self._stages.run(Phase.HEALTH, "wait until all are healthy", self._engine.wait(release))
        self._attempt.succeed()
        try:
            self._attempt.tidy(release)
        except EngineFailed as error:
            yield self._stages.warn(f"what is not needed any more could not be removed: {error}")
        previous_commit = present.good.commit if present.good else ""
        return _reply(release.kind, release, already_live=False, previous_commit=previous_commit)

    def _given(self, app: App) -> Steps:
        """The image to the nodes, and the variables, if they are those of now, to the engine."""
        summary = yield from self._engine.give_image(app)
        self._keep(app)
        return summary

    def _applied(self, release: Release) -> Steps:
        yield from ()
        self._keep(release.app)
        self._attempt.check()
        self._attempt.touched = self._attempt.applied = True
        self._engine.apply(release)
        return ""

    def _keep(self, app: App) -> None:
        if self._values is not None and self._values.digest == app.env_digest:
            self._attempt.touched = True
            self._engine.keep_values(app, self._values)

    def _now(self) -> Values:
        """Raises EnvFileError."""
        if self._values is None:
            raise EnvFileError("env_file can't be read here", "go where it is, or name another release")
        return self._values

    def _kept(self, present: Present) -> set[str]:
        """The digests of the variables that the engine still has."""
        found = {"", *([present.good.app.env_digest] if present.good else [])}
        if present.good:
            with suppress(NothingToRollBackTo):
                found.add(previous(present.releases, present.good).app.env_digest)
        return found | ({self._values.digest} if self._values else set())

    def _release(self, kind: Kind, app: App, present: Present) -> Release:
        app = kept(app)
        version = app.version
        limit_s = IMAGE_LIMIT_S + ROLLOUT_SPARE_S + version.setup_timeout_s * 2 + version.release_timeout_s
        limit_s += 2 * sum(app.processes.values()) * (version.health_timeout_s + version.drain_timeout_s)
        return Release(
            number=present.next,
            kind=kind,
            app=app,
            manifest=self._engine.manifest(app),
            target=present.next,
            before=present.before,
            started_at=now(),
            until=now(limit_s),
            who=self._asked.who,
            message=self._masking.text(self._asked.message),
            ref=self._asked.ref,
        )


def _reply(kind: Kind, release: Release, **more: bool | str) -> Line:
    return {"success": True, "kind": kind, "commit": release.commit, "release": release.target, **more}


def _same(one: App, other: App) -> bool:
    """But for the number of the release."""
    return msgspec.structs.replace(kept(one), release=0) == msgspec.structs.replace(kept(other), release=0)
