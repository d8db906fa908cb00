"""`env` where a cluster runs the app: the variables are in `env_file` on the operator's own computer."""

from slot_machine.cli import env_store
from slot_machine.cli.client import Json
from slot_machine.cli.cluster import subject
from slot_machine.cli.env_store import Place
from slot_machine.host import printing


def place() -> Place:
    """Raises ConfigError, StartRefused."""
    source = subject.source()

    def compared() -> tuple[Json, str]:
        live, digest = subject.engine(source).live(), source.values().digest
        if not live:
            return {"live": ""}, "nothing is live, so the next deploy applies them"
        if live.env_digest == digest:
            return {"live": "same"}, ""
        return {"live": "other"}, "the live version has others: `slot-machine restart` brings these to the cluster"

    return Place(env_store.configured(str(source.file)), apply, compared)


def apply(names: list[str], done: str, *, changed: bool, restart: bool) -> None:  # noqa: ARG001 - it never restarts
    if not changed:
        printing.result("nothing has changed")
        return
    for line in env_store.notes(names):
        printing.note(line)
    printing.result(f"{done}; `slot-machine restart` brings it to the cluster")
