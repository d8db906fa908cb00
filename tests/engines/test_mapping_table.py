"""docs/engines.md says of each field what becomes of it on an engine."""

import re
from pathlib import Path

import msgspec
import pytest

from slot_machine.core.daemon_config import DaemonConfig
from slot_machine.core.version_config import VersionConfig

PAGE = Path(__file__).parents[2] / "docs" / "engines.md"
TABLE = re.compile(r"^### Fields of (a version|the daemon)\n\n((?:\|.*\n)+)", re.MULTILINE)


@pytest.mark.parametrize(("title", "struct"), [("a version", VersionConfig), ("the daemon", DaemonConfig)])
def test_each_field_is_in_the_table(title: str, struct: type[msgspec.Struct]) -> None:
    tables = dict(TABLE.findall(PAGE.read_text()))
    first_cells = [row.split("|")[1] for row in tables[title].splitlines()]
    named = [name for cell in first_cells for name in re.findall(r"`(\w+)`", cell)]
    assert sorted(named) == sorted(field.name for field in msgspec.structs.fields(struct))
