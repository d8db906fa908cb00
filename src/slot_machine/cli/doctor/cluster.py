"""The checks of an app that a cluster runs: what is said of this machine is about its daemon, and there is none."""

from collections.abc import Iterator

from slot_machine.cli.doctor.finding import Finding, Subject, note, ok
from slot_machine.core import engine_config
from slot_machine.host.process import proc


def engine(subject: Subject) -> Iterator[Finding]:
    engine = subject.options.config.daemon.engine
    if not engine:
        return
    where = f", context {engine.context}," if engine.context else ""
    yield ok("engine", f"{engine_config.kind(engine)}{where} runs the app; `slot-machine engine check` looks at it")
    if subject.holder:
        yield note(
            "daemon",
            f"process {proc.named(subject.holder.pid)} still serves the app on this machine",
            "stop it when nobody uses this machine any more, and remove its service by `slot-machine uninstall`",
        )
