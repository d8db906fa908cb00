"""The files of a project, as a deploy would have them."""

import json
import os
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from pathlib import Path, PurePosixPath

from slot_machine.detect.words import word_set
from slot_machine.host.files.regular import open_regular

LARGEST_BYTES = 262_144
"""Longer files are generated, or data."""
MOST_SOURCES = 2000
MOST_FILES = 50_000

FOREIGN = word_set(
    "node_modules bower_components vendor venv env virtualenv site-packages __pycache__ target dist build out _build"
    " deps coverage .git .slot-machine .venv .next .nuxt .output .svelte-kit .yarn .tox"
)
"""Folders with packages or with what a build makes."""
TESTS = word_set("test tests spec specs __tests__ e2e cypress fixtures testdata examples docs migrations")
TEST = re.compile(r"[._](test|spec)\.\w+$|^test_\w*\.py$|_test\.(go|py)$|\.d\.ts$|\.min\.js$")


class Unreadable(ValueError):
    """A manifest that its own tool could not read either."""


class Project:
    """The app's folder. `top` is the top of its repository: the same folder if there is none."""

    def __init__(self, folder: Path, top: Path | None = None, files: tuple[str, ...] | None = None) -> None:
        self.folder = folder
        self.top = top or folder
        self.files = tuple(sorted(_walk(folder) if files is None else files, key=_depth))

    @property
    def name(self) -> str:
        return self.folder.resolve().name

    @cached_property
    def root(self) -> str:
        """The folder below the repository's top, empty if it is the top."""
        root = self.folder.resolve().relative_to(self.top.resolve()).as_posix()
        return "" if root == "." else root

    @cached_property
    def parents(self) -> tuple[str, ...]:
        """`..`, `../..` and so on, up to the top of the repository."""
        return tuple("/".join([".."] * (level + 1)) for level in range(len(PurePosixPath(self.root).parts)))

    @cached_property
    def _set(self) -> frozenset[str]:
        return frozenset(self.files)

    @cached_property
    def folders(self) -> frozenset[str]:
        """Those with a file of the project in them."""
        return frozenset(str(parent) for name in self.files for parent in PurePosixPath(name).parents)

    def has(self, name: str) -> bool:
        """Files of parent folders are looked for on the disk."""
        return (self.folder / name).is_file() if name.startswith("../") else name in self._set

    def first(self, *names: str) -> str:
        return next((name for name in names if self.has(name)), "")

    def matching(self, pattern: str) -> list[str]:
        """Files whose whole path matches the expression, the highest folders first."""
        return [name for name in self.files if re.fullmatch(pattern, name)]

    def text(self, name: str) -> str:
        """Empty if there is no such file, or if it can't be read as one."""
        if not name or not self.has(name):
            return ""
        return self.on_disk(name)

    def on_disk(self, name: str) -> str:
        """The text of a file that a deploy may not have."""
        try:
            with os.fdopen(open_regular(self.folder / name), "rb") as file:
                return file.read(LARGEST_BYTES).decode("utf-8-sig", "replace")
        except OSError:
            return ""

    def json(self, name: str) -> dict[str, object]:
        """Raises Unreadable."""
        return self._parsed(name, json.loads, "JSON")

    def toml(self, name: str) -> dict[str, object]:
        """Raises Unreadable."""
        return self._parsed(name, tomllib.loads, "TOML")

    def sources(self, *suffixes: str) -> Iterator[tuple[str, str]]:
        """Name and text of source files that are neither tests nor packages. Files without a suffix count in `bin`."""
        names = [name for name in self.files if _is_source(name, suffixes)]
        for name in names[:MOST_SOURCES]:
            yield name, self._source(name)

    def _source(self, name: str) -> str:
        if name not in self._read:
            self._read[name] = self.text(name)
        return self._read[name]

    @cached_property
    def _read(self) -> dict[str, str]:
        return {}

    def _parsed(self, name: str, parse: Callable[[str], object], kind: str) -> dict[str, object]:
        text = self.text(name)
        if not text:
            return {}
        try:
            found = parse(text)
        except (ValueError, RecursionError) as error:
            raise Unreadable(f"{self.folder / name} is not valid {kind}: {error}") from None
        if not isinstance(found, dict):
            raise Unreadable(f"{self.folder / name} is not a {kind} object")
        return found


def table(of: Mapping[str, object], *keys: str) -> dict[str, object]:
    """A nested object, empty if there is none."""
    found: object = of
    for key in keys:
        found = found.get(key) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else {}


def texts(of: Mapping[str, object]) -> dict[str, str]:
    return {key: value for key, value in of.items() if isinstance(value, str) and value.strip()}


def _walk(folder: Path) -> list[str]:
    found: list[str] = []
    for where, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in FOREIGN)
        found += [os.path.relpath(os.path.join(where, name), folder) for name in names]
        if len(found) > MOST_FILES:
            break
    return found


def _depth(name: str) -> tuple[int, str]:
    return name.count("/"), name


def _is_source(name: str, suffixes: tuple[str, ...]) -> bool:
    path = PurePosixPath(name)
    folders = set(path.parts[:-1])
    if folders & FOREIGN or folders & TESTS or TEST.search(path.name):
        return False
    return path.suffix in suffixes or (not path.suffix and path.parent.name == "bin")
