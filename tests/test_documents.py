"""What the Markdown files name exists: modules, tests, pages and their headings."""

import re
from pathlib import Path

import pytest

from slot_machine.cli.main import COMMANDS

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "slot_machine"
MAP = (ROOT / "ARCHITECTURE.md").read_text()
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("spec/*.md"), *ROOT.glob("examples/*/*.md")]


def _name(page: Path) -> str:
    return str(page.relative_to(ROOT))


SECTION = re.compile(r"^### `(\w+)/`[^\n]*\n(.*?)(?=^##)", re.MULTILINE | re.DOTALL)
ROW = re.compile(r"^\| (`[^|]+) \|", re.MULTILINE)
LINK = re.compile(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
PYTHON_FILE = re.compile(r"`((?:[\w-]+/)*\w+\.py)`")
TEST = re.compile(r"`(test_\w+)`")
COMMAND = re.compile(r"`slot-machine ([a-z]+)\b")


def test_map_has_a_row_for_each_module_and_no_other() -> None:
    on_map = {
        f"{folder}/{name}"
        for folder, text in SECTION.findall(MAP)
        for row in ROW.findall(text)
        for name in PYTHON_FILE.findall(row)
    }
    modules = {str(path.relative_to(SOURCE)) for path in SOURCE.rglob("*.py")}
    of_commands = {f"cli/commands/{module}.py" for module in COMMANDS.values()}

    assert on_map == {name for name in modules if not name.endswith(("__init__.py", "__main__.py"))} - of_commands


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_links_lead_to_pages_and_headings(page: Path) -> None:
    for target, heading in LINK.findall(page.read_text()):
        path = (page.parent / target) if target else page
        assert path.exists(), target
        if heading:
            assert heading in {_anchor(found) for found in HEADING.findall(path.read_text())}, f"{target}#{heading}"


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_files_and_tests_that_are_named_exist(page: Path) -> None:
    files = [path for folder in (SOURCE, ROOT / "tests", ROOT / "spec") for path in folder.rglob("*.py")]
    names = [str(path) for path in files]
    tests = {name for path in files if path.name.startswith("test_") for name in _functions(path)}
    text = page.read_text() if page.name != "CHANGELOG.md" else ""

    assert [name for name in PYTHON_FILE.findall(text) if not _exists(name, names)] == []
    assert [name for name in TEST.findall(text) if name not in tests] == []


def _exists(name: str, names: list[str]) -> bool:
    """Whether it is the end of a path, such as `cli/render.py`, `test_reload.py` or an app's own `app.py`."""
    return any(path.endswith(f"/{name}") for path in names)


def _functions(path: Path) -> list[str]:
    return re.findall(r"^(?:async )?def (test_\w+)", path.read_text(), re.MULTILINE)


def _anchor(heading: str) -> str:
    """As GitHub makes them."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("path", [*PAGES, *SOURCE.rglob("*.py")], ids=_name)
def test_each_command_that_is_named_exists(path: Path) -> None:
    assert set(COMMAND.findall(path.read_text())) <= set(COMMANDS)


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_examples_write_into_no_folder_of_the_shared_data_that_nobody_makes(page: Path) -> None:
    """Celery's beat, for example, ends at once if the folder of its schedule is missing."""
    text = page.read_text()
    folders = re.findall(r"\$SLOT_MACHINE_SHARED/([^\s\"']+)/", text)

    assert [name for name in folders if not re.search(rf'"shared_dirs": \[[^]]*"{re.escape(name)}"', text)] == []
