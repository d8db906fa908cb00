"""docs/kubernetes.md says of each field what becomes of it."""

import re
from pathlib import Path

import msgspec
import pytest

from slot_machine.core.daemon_config import DaemonConfig
from slot_machine.core.version_config import VersionConfig
from slot_machine.engines.kubernetes import mapping
from slot_machine.engines.left_out import OF_VERSION

PAGE = Path(__file__).parents[3] / "docs" / "kubernetes.md"
TABLE = re.compile(
    r"^## Fields of (a version|the daemon) on Kubernetes\n(?:[^|][^\n]*\n|\n)*((?:\|[^\n]*\n)+)", re.MULTILINE
)


def rows(title: str) -> dict[str, str]:
    """By the name of a field."""
    (table,) = [table for found, table in TABLE.findall(PAGE.read_text()) if found == title]
    cells = [row.strip("| ").split(" | ") for row in table.splitlines()]
    return {name: cell[-1] for cell in cells for name in re.findall(r"`(\w+)`", cell[0])}


@pytest.mark.parametrize(("title", "struct"), [("a version", VersionConfig), ("the daemon", DaemonConfig)])
def test_each_field_is_in_the_table(title: str, struct: type[msgspec.Struct]) -> None:
    assert sorted(rows(title)) == sorted(field.name for field in msgspec.structs.fields(struct))


@pytest.mark.parametrize(("title", "fields"), [("a version", OF_VERSION), ("the daemon", mapping.LEFT_OUT_OF_DAEMON)])
def test_what_is_warned_of_is_said_to_be(title: str, fields: dict[str, str]) -> None:
    assert [field for field in fields if "warning" not in rows(title)[field]] == []
