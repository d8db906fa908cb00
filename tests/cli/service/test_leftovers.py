"""What is ended after a stop of the service, and what is left running after a crash of its daemon."""

import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from slot_machine.cli.service import leftovers
from slot_machine.cli.service.unit import STOP_MARK
from slot_machine.host.process import cgroup
from slot_machine.host.process.cgroup import Cgroup

UNIT = "slot-machine-shop.service"

pytestmark = pytest.mark.skipif(cgroup.usable_parent() is None, reason="needs control groups of version 2")


@pytest.fixture
def group() -> Iterator[Path]:
    """That of the unit, with one below it, as DelegateSubgroup= makes one."""
    parent = cgroup.usable_parent()
    assert parent
    above = parent / f"slot-machine-test-{uuid.uuid4().hex[:12]}"
    group = above / UNIT
    (group / "slot-machine").mkdir(parents=True)
    yield group
    Cgroup(above).kill()
    Cgroup(above).remove()


@pytest.fixture
def app(group: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A process of the service that the daemon has left."""
    with subprocess.Popen(["sleep", "600"]) as app:
        (group / "slot-machine" / "cgroup.procs").write_text(str(app.pid))
        yield app
        app.kill()


@pytest.mark.parametrize(
    ("below", "unit", "asked", "ends"),
    [
        ("slot-machine", UNIT, True, True),
        (".control", UNIT, True, True),
        ("", UNIT, True, True),
        (".control", UNIT, False, False),
        (".control", "another.service", True, False),
    ],
)
def test_only_a_service_that_somebody_stops_is_emptied(
    group: Path,
    app: "subprocess.Popen[bytes]",
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    below: str,
    unit: str,
    asked: bool,
    ends: bool,
) -> None:
    monkeypatch.setattr(cgroup, "group_of_process", lambda: group / below)
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path))
    if asked:
        (tmp_path / STOP_MARK).touch()

    leftovers.end(unit)

    if ends:
        assert app.wait(5) == -15
        assert f"they are ended: {app.pid} (sleep 600)" in capsys.readouterr().err
    else:
        assert app.poll() is None


def test_nothing_is_ended_outside_of_a_service(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leftovers, "_processes", lambda _: pytest.fail("it looked for processes"))
    leftovers.end(UNIT)
