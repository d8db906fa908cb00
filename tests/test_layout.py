"""What holds the tests together: helpers are modules of their own, and the folders are those of the source."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
WITHOUT_SOURCE = {"clients", "https", "kubernetes", "root", "swarm", "system", "systemd"}


def imported(module: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_no_test_module_is_a_library() -> None:
    for module in (*ROOT.glob("tests/**/*.py"), *ROOT.glob("spec/**/*.py")):
        ours = [name for name in imported(module) if name.startswith(("tests.", "spec."))]
        assert not [name for name in ours if ".test_" in name], f"{module} imports a test module"


def test_folders_are_those_of_the_source() -> None:
    def folders(of: Path) -> set[str]:
        return {str(path.parent.relative_to(of)) for path in of.rglob("*.py")}

    assert folders(ROOT / "tests") - WITHOUT_SOURCE <= folders(ROOT / "src" / "slot_machine")
