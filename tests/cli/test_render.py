import subprocess
import sys


def test_status_imports_no_library() -> None:
    """Importing one takes longer than everything else that `status` does."""
    program = (
        "import sys; before = set(sys.modules); import slot_machine.cli.render\n"
        "names = {name.partition('.')[0] for name in set(sys.modules) - before} - sys.stdlib_module_names\n"
        "print(*sorted(names))"
    )
    imported = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout

    assert imported.split() == ["slot_machine"]
