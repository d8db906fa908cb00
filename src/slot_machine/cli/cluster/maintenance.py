"""`maintenance` on a cluster."""

from slot_machine.cli.cluster import subject
from slot_machine.cli.commands import maintenance


def run_on(message: str, as_json: bool) -> None:  # noqa: ARG001 - the command's own option, which is refused
    _switch(on=True, as_json=as_json)


def run_off(as_json: bool) -> None:
    _switch(on=False, as_json=as_json)


def _switch(*, on: bool, as_json: bool) -> None:
    subject.only("as_json")
    subject.engine(subject.source()).maintain(on=on)
    maintenance.tell({"success": True, "maintenance": on, "warnings": []}, on=on, as_json=as_json)
