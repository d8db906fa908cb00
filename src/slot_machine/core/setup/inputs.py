"""On which files of a commit its setup depends, and whether they are all that it depends on."""

import fnmatch
import hashlib
import posixpath
from collections.abc import Callable, Sequence
from typing import NamedTuple

from slot_machine.core.setup import javascript, others, python
from slot_machine.core.setup.command import Install, Parsed, parse
from slot_machine.core.setup.files import Files, Found

HOW: dict[str, Callable[[Install, Files], Found]] = {
    **dict.fromkeys(("npm", "pnpm", "yarn", "bun"), javascript.inputs),
    **dict.fromkeys(("pip", "uv pip", "uv", "venv", "virtualenv", "poetry", "pdm", "pipenv"), python.inputs),
    "bundle": others.bundler,
    "composer": others.composer,
}


RUNTIMES = {"npm": "node", "pnpm": "node", "yarn": "node", "bundle": "ruby", "composer": "php"}


class Inputs(NamedTuple):
    """`digests` are those of files, and of folders, whose names end with `/`.

    `main` are the files that a message names. `doubt` says why the setup must run though nothing changed; empty if it
    need not. `unchecked` is a part of the command whose failure does not fail the setup. `installed` are the folders
    that it installs into; `seeds` those of them that may be filled from another tree before. The versions of `programs`
    count as well.
    """

    digests: dict[str, str]
    main: tuple[str, ...]
    doubt: str
    installed: tuple[str, ...] = ()
    seeds: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()
    unchecked: str = ""


def inputs_of(command: str, root: str, given: Sequence[str] | None, files: Files) -> Inputs:
    """`given` is the field `setup_inputs`, whose files replace those that are known. `root` is the app's folder."""
    parsed = parse(command, root)
    found = [HOW[install.tool](install, files) for install in parsed.installs if install.tool in HOW]
    installed = tuple(dict.fromkeys(each.installed for each in found if each.installed))
    further = installed, tuple(_seeds(parsed.installs, files)), _programs(parsed), parsed.unchecked
    if given is not None:
        matching = {path: _matching(posixpath.join(root, path), files) for path in given}
        missing = [f"setup_inputs names {path}, which no file matches" for path, names in matching.items() if not names]
        names = sorted({name for names in matching.values() for name in names})
        return Inputs({name: files.digests[name] for name in names}, tuple(names), "".join(missing[:1]), *further)
    doubts = [doubt for each in found for doubt in each.doubts]
    if parsed.unknown:
        doubts.insert(0, f"`{parsed.unknown}` may depend on any file; setup_inputs can name those that count")
    elif not found:
        doubts.append("it is not known what the command depends on; setup_inputs can name the files that count")
    names = sorted({name for each in found for name in each.inputs})
    main = tuple(dict.fromkeys(lock for each in found for lock in each.locks))
    return Inputs(dict(_digest(name, files) for name in names), main, next(iter(doubts), ""), *further)


def _programs(parsed: Parsed) -> tuple[str, ...]:
    """Those outside of the tree, with the runtimes that they need."""
    named = [name for each in parsed.installs for name in (each.program, _runtime(each))]
    unknown = parsed.unknown.split()[:1]
    return tuple(
        dict.fromkeys(name for name in (*named, *unknown) if name.startswith("/") or (name and "/" not in name))
    )


def _runtime(install: Install) -> str:
    """A package manager that was named by its path may have its own one beside it."""
    name = RUNTIMES.get(install.tool, "")
    return posixpath.join(posixpath.dirname(install.program), name) if name and install.program[:1] == "/" else name


def _seeds(installs: Sequence[Install], files: Files) -> list[str]:
    folders = [posixpath.join(each.folder, "node_modules") for each in installs if javascript.is_incremental(each)]
    return [folder for folder in folders if not files.below(folder)]


def _matching(path: str, files: Files) -> list[str]:
    """The files that a path or a pattern such as `src/**` names. A folder stands for all that is below it."""
    path = posixpath.normpath(path)
    if path == ".":
        return list(files.digests)
    return [path] if files.has(path) else files.below(path) or fnmatch.filter(files.digests, path)


def _digest(name: str, files: Files) -> tuple[str, str]:
    if files.has(name):
        return name, files.digests[name]
    below = [f"{path} {files.digests[path]}" for path in sorted(files.below(name))]
    return f"{name}/", hashlib.sha256("\n".join(below).encode()).hexdigest()
