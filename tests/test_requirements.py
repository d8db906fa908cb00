"""requirements.lock has all that pyproject.toml asks for, with hashes, and says nothing of where it was made."""

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
LOCK = (ROOT / "requirements.lock").read_text()
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def pinned() -> dict[str, str]:
    lines = re.findall(
        r"^([a-z0-9-]+)==(\S+)[^\n]*\\\n(?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+", LOCK, re.MULTILINE
    )
    return dict(lines)


def test_every_version_has_its_hashes() -> None:
    entries = re.findall(r"^[^#\s].*", LOCK, re.MULTILINE)

    assert len(pinned()) == len(entries) > 0
    assert not re.search(r"://|/|--(?!hash)", LOCK)


def test_what_is_needed_is_there_in_a_version_that_will_do() -> None:
    needed = [
        Requirement(text) for text in PYPROJECT["project"]["dependencies"] + PYPROJECT["build-system"]["requires"]
    ]

    versions = pinned()
    assert [str(one) for one in needed if not one.specifier.contains(versions.get(one.name, "0"))] == []
