from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from slot_machine.cli.service import edge_unit
from slot_machine.core.errors import ConfigError
from slot_machine.edge.issued import MOST, Issued
from slot_machine.edge.settings import EdgeSettings


def test_a_lost_storage_does_not_order_for_ever(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    for count in range(MOST):
        issued = Issued(tmp_path / "issued.json")
        assert issued.obstacle("a.example") == ""
        issued.note(["a.example"], now - timedelta(hours=MOST - count))
    told = Issued(tmp_path / "issued.json").obstacle("a.example")
    assert told.startswith(f"a.example got {MOST} certificates in 7 days")
    assert Issued(tmp_path / "issued.json").obstacle("b.example") == ""


def test_what_was_long_ago_does_not_count(tmp_path: Path) -> None:
    issued = Issued(tmp_path / "issued.json")
    for _ in range(MOST):
        issued.note(["a.example"], datetime.now(UTC) - timedelta(days=8))
    assert issued.obstacle("a.example") == ""


def test_a_broken_file_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "issued.json").write_text("{")
    assert Issued(tmp_path / "issued.json").obstacle("a.example") == ""


def test_the_unit_names_program_file_and_state() -> None:
    settings, program, file = EdgeSettings(state="/var/lib/e"), Path("/opt/bin/slot-machine"), Path("/etc/e.json")
    text = edge_unit.text_of(settings, program, file, as_root=True)
    assert "ExecStart=/opt/bin/slot-machine edge start --config /etc/e.json\n" in text
    assert "ReadWritePaths=/var/lib/e\n" in text
    assert "PATH=/opt/bin:" in text
    assert "DynamicUser" not in text
    own = edge_unit.text_of(settings, program, file, as_root=False)
    assert "DynamicUser=yes\nStateDirectory=slot-machine-edge\n" in own
    assert "ReadWritePaths" not in own


@pytest.mark.parametrize("state", ["/var/lib/a b", "/var/lib/%h", "/var/lib/a\nUser=x"])
def test_a_unit_is_not_written_with_odd_paths(state: str) -> None:
    with pytest.raises(ConfigError):
        edge_unit.text_of(EdgeSettings(state=state), Path("/opt/bin/slot-machine"), None, as_root=True)
