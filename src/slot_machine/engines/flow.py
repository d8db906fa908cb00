"""A deploy, rollback or restart on any engine: the order of its stages, and the way back if one of them fails.

There is no daemon: what is here runs in the command. What it has begun is in the engine's own objects (`release`), so
that another computer sees it, and can go on after this one died.
"""

import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import NamedTuple, NoReturn, Protocol

import msgspec

from slot_machine.core.errors import Busy, EngineFailed, NothingToRestart, SlotMachineError
from slot_machine.core.masking import Masking
from slot_machine.core.model import short
from slot_machine.core.origin import Description
from slot_machine.core.phases import Phase
from slot_machine.engines.engine import Engine, Live, Steps
from slot_machine.engines.release import (
    Ended,
    Kind,
    Release,
    Result,
    now,
    numbered,
    previous,
    superfluous,
    wanted,
)
from slot_machine.engines.shape import App, Values
from slot_machine.engines.stages import Line, Lines, Stages

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
    """Each call yields the progress, and at the end the reply: `success`, and `error`, `stage`, `hint` of a failure."""

    def __init__(self, engine: Engine, images: Images, name: str, asked: Asked, values: Values) -> None:
        masking = Masking()
        masking.learn(values.variables)
        self._engine = engine
        self._images = images
        self._asked = asked
        self._values = values
        self._masking = masking
        self._stages = Stages(name, masking)
        self._begun: Release | None = None
        self._applied = False

    def deploy(
        self, app: App, description: Description, warnings: Sequence[str] = (), *, force: bool = False
    ) -> Iterator[Line]:
        """`app` has no number yet. `warnings` are those of its configuration."""
        with _interruptible():
            yield from self._guarded("deploy", app.commit, self._deploy(app, description, warnings, force=force))

    def rollback(self, to: str = "") -> Iterator[Line]:
        with _interruptible():
            yield from self._guarded("rollback", "", self._rollback(to))

    def restart(self) -> Iterator[Line]:
        """With the variables of now."""
        with _interruptible():
            yield from self._guarded("restart", "", self._restart())

    def _deploy(self, app: App, description: Description, warnings: Sequence[str], *, force: bool) -> Lines:
        self._stages.stage = Phase.RESOLVE.stage
        for warning in [*warnings, *self._engine.refuse(app)]:
            yield self._stages.warn(warning)
        live, releases = self._now()
        if not force and live and (current := numbered(releases, live.release)) and _same(current.app, app):
            yield self._reply("deploy", app.commit, already_live=True)
            return
        app = msgspec.structs.replace(app, release=_next(releases))
        release = self._release("deploy", app, app.release, live)
        release = msgspec.structs.replace(release, subject=description.subject, author=description.author)
        self._begin(release)
        yield from self._stages.run(
            Phase.BUILD, f"build {app.image}", self._images.build(app, self._engine.platforms())
        )
        yield from self._stages.run(
            Phase.BUILD, f"bring {short(app.commit)} to the nodes", self._engine.give_image(app)
        )
        self._engine.keep_values(app, self._values)
        if app.version.release_command:
            yield from self._stages.run(Phase.RELEASE, app.version.release_command, self._engine.run_release(app))
        yield from self._roll_out(release)

    def _rollback(self, to: str) -> Lines:
        live, releases = self._now()
        target = wanted(releases, to) if to else previous(releases, live.release if live else 0)
        if live and live.release == target.number:
            raise Busy(f"{short(target.commit)} is live already", "name another release of `slot-machine history`")
        release = self._release("rollback", target.app, _next(releases), live)
        release = msgspec.structs.replace(
            release, target=target.number, manifest=target.manifest, subject=target.subject, author=target.author
        )
        self._begin(release)
        yield from self._stages.run(
            Phase.BUILD, f"bring {short(target.commit)} to the nodes", self._engine.give_image(target.app)
        )
        yield from self._roll_out(release)

    def _restart(self) -> Lines:
        live, releases = self._now()
        current = numbered(releases, live.release) if live else None
        if not current:
            raise NothingToRestart("no release of ours is live", "`slot-machine deploy` begins one")
        number = _next(releases)
        app = msgspec.structs.replace(current.app, release=number, env_digest=self._values.digest)
        release = self._release("restart", app, number, live)
        release = msgspec.structs.replace(release, subject=current.subject, author=current.author)
        self._begin(release)
        self._engine.keep_values(app, self._values)
        yield from self._roll_out(release)

    def _roll_out(self, release: Release) -> Lines:
        self._applied = True
        self._engine.apply(release)
        yield from self._stages.run(
            Phase.HEALTH, f"start {short(release.commit)}, copy by copy", self._engine.wait(release)
        )
        self._end("succeeded")
        try:
            self._tidy(release)
        except EngineFailed as error:
            yield self._stages.warn(f"what is not needed any more could not be removed: {error}")
        yield self._reply(release.kind, release.commit)

    def _guarded(self, kind: Kind, commit: str, lines: Lines) -> Iterator[Line]:
        try:
            yield from lines
        except GeneratorExit:
            lines.close()
            for _ in self._back():
                pass
            self._end("cancelled")
            raise
        except KeyboardInterrupt:
            yield from self._failed(kind, commit, "cancelled", KeyboardInterrupt(), "cancelled")
        except SlotMachineError as error:
            yield from self._failed(kind, commit, "failed", error, str(error))

    def _failed(self, kind: Kind, commit: str, result: Result, error: BaseException, what: str) -> Iterator[Line]:
        """Goes back, and yields the reply. A refusal has begun nothing."""
        stage = (error.stage if isinstance(error, SlotMachineError) else "") or self._stages.stage
        hint = error.hint if isinstance(error, SlotMachineError) else ""
        try:
            with _uninterruptible():
                yield from self._back()
        except SlotMachineError as worse:
            what = f"{what}\nand the version before it is not back: {worse}"
            hint = "`slot-machine status` shows what runs; `slot-machine rollback` tries again"
        what = self._masking.text(what)
        self._end(result, stage, what)
        output = list(error.output) if isinstance(error, SlotMachineError) else []
        shown = "\n".join([what, *map(self._masking.text, output)])
        yield {
            "success": False,
            "kind": kind,
            "commit": self._begun.commit if self._begun else commit,
            "stage": stage if self._begun else "",
            "error": shown,
            "hint": hint,
            "warnings": self._stages.warnings,
            "cancelled": result == "cancelled",
        }

    def _back(self) -> Lines:
        """All services of the release before, if anything of this one was applied. Raises SlotMachineError."""
        begun = self._begun
        if not begun or not self._applied:
            return
        self._applied = False
        before = numbered(self._engine.releases(), begun.before)
        if not before:
            yield from self._stages.run(Phase.RESTORE, f"remove {short(begun.commit)}", self._removed(begun.app))
            return
        self._engine.apply(before)
        yield from self._stages.run(Phase.RESTORE, f"go back to {short(before.commit)}", self._engine.wait(before))
        with suppress(EngineFailed):
            self._tidy(before)

    def _removed(self, app: App) -> Steps:
        yield from ()
        self._engine.remove(app)
        return "nothing was live before"

    def _now(self) -> tuple[Live | None, list[Release]]:
        """Raises Busy if another deploy runs."""
        releases = self._engine.releases()
        if releases and (other := releases[0]).result == "running":
            raise Busy(
                f"a {other.kind} of {short(other.commit)}{other.who and f' by {other.who}'} runs since"
                f" {other.started_at}",
                "wait for its end; `slot-machine cancel` gives up one whose computer is gone",
            )
        return self._engine.live(), releases

    def _release(self, kind: Kind, app: App, number: int, live: Live | None) -> Release:
        version = app.version
        limit_s = IMAGE_LIMIT_S + ROLLOUT_SPARE_S + version.setup_timeout_s * 2 + version.release_timeout_s
        limit_s += 2 * sum(app.processes.values()) * (version.health_timeout_s + version.drain_timeout_s)
        return Release(
            number=number,
            kind=kind,
            app=app,
            manifest=self._engine.manifest(app),
            target=number,
            before=live.release if live else 0,
            started_at=now(),
            until=now(limit_s),
            who=self._asked.who,
            message=self._masking.text(self._asked.message),
            ref=self._asked.ref,
        )

    def _begin(self, release: Release) -> None:
        self._engine.begin(release)
        self._begun = release

    def _end(self, result: Result, stage: str = "", error: str = "") -> None:
        """Raises nothing: a release without an end counts as interrupted once its time has passed."""
        if self._begun:
            with suppress(EngineFailed):
                self._engine.end(self._begun, Ended(result=result, ended_at=now(), stage=stage, error=error[:4096]))

    def _tidy(self, release: Release) -> None:
        releases = self._engine.releases()
        gone = superfluous(releases, release.target)
        self._engine.tidy(release, [kept for kept in releases if kept not in gone])
        self._engine.forget(gone)

    def _reply(self, kind: Kind, commit: str, *, already_live: bool = False) -> Line:
        return {
            "success": True,
            "kind": kind,
            "commit": commit,
            "release": self._begun.number if self._begun else 0,
            "already_live": already_live,
            "warnings": self._stages.warnings,
        }


def _next(releases: Sequence[Release]) -> int:
    return releases[0].number + 1 if releases else 1


def _same(one: App, other: App) -> bool:
    """But for the number of the release."""
    return msgspec.structs.replace(one, release=0) == msgspec.structs.replace(other, release=0)


@contextmanager
def _interruptible() -> Iterator[None]:
    """SIGTERM and SIGHUP end it as Ctrl-C does: by going back."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, _interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _uninterruptible() -> Iterator[None]:
    """A second Ctrl-C does not leave two versions."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt
