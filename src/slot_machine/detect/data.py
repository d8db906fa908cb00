"""What the app writes into its folder: it has to outlive the versions."""

import re
from collections.abc import Iterator, Sequence

from slot_machine.detect.part import Part
from slot_machine.detect.project import Project

FOLDERS = ("uploads", "public/uploads", "static/uploads", "data", "storage", "media", "var/uploads")
DATABASE = re.compile(r"['\"`](?:sqlite:///|file:)?(?:\./)?((?:[\w-]+/)*[\w-]+\.(?:sqlite3?|db))['\"`?]")
UPLOADS = re.compile(
    r"(?:\b(?:dest|destination|uploadDir)\s*:|\bUPLOAD_FOLDER\b['\"]?\]?\s*=)\s*['\"`](?:\./)?([\w/-]*\w)/?['\"`]"
)
SESSIONS = re.compile(r"\bdb\s*:\s*['\"`][\w.-]+['\"`]\s*,\s*dir\s*:\s*['\"`](?:\./)?([\w/-]*\w)/?['\"`]")
"""The folder in which Express keeps its sessions in a database."""
SUFFIXES = (".py", ".js", ".mjs", ".cjs", ".ts", ".rb", ".go")
EMPTY = (".gitkeep", ".keep", ".gitignore", ".empty")
"""Files that keep an empty folder in git."""


def find(project: Project, parts: Sequence[Part]) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Folders, files, and what was guessed. None lies below another; those of the frameworks come first."""
    known_dirs = [name for part in parts for name in part.shared_dirs]
    known_files = [name for part in parts for name in part.shared_files]
    dirs, files, said = list(dict.fromkeys(known_dirs)), list(dict.fromkeys(known_files)), []
    for name, is_dir, why in _guesses(project):
        if name not in files and not any(within(name, other) or within(other, name) for other in dirs):
            (dirs if is_dir else files).append(name)
            said.append(f"shared_{'dirs' if is_dir else 'files'} has {name}, {why}")
    outside = tuple(name for name in files if not any(within(name, each) for each in dirs))
    return tuple(dirs), outside, tuple(said)


def within(path: str, folder: str) -> bool:
    parts, outer = path.split("/"), folder.split("/")
    return parts[: len(outer)] == outer


def _guesses(project: Project) -> Iterator[tuple[str, bool, str]]:
    """A path, whether it is a folder, and why it may be data."""
    ignored = {line.strip().strip("/") for line in project.text(".gitignore").splitlines()}
    for name in FOLDERS:
        if _is_for_data(project, name, ignored):
            yield name, True, "which looks like a folder for data"
    for name, text in project.sources(*SUFFIXES):
        for path in (*UPLOADS.findall(text), *SESSIONS.findall(text)):
            if not path.startswith(("tmp", "/")) and path not in project.folders:
                yield path, True, f"which {name} writes to"
        for path in DATABASE.findall(text):
            if not project.has(path) and not _elsewhere(path, text):
                yield (path.rsplit("/", 1)[0], True, f"from {name}") if "/" in path else (path, False, f"from {name}")


def _elsewhere(path: str, text: str) -> bool:
    """Whether the name is joined to the path of another folder, such as Flask's `instance`."""
    name = re.escape(path)
    joined = re.compile(rf"(instance_path|tmp).*{name}|['\"]\s*[,/]\s*['\"]{name}|{name}['\"`]\s*,\s*dir\s*:")
    return joined.search(text) is not None


def _is_for_data(project: Project, name: str, ignored: set[str]) -> bool:
    """A folder that git ignores or keeps empty. What has files in git is a part of the app."""
    tracked = [path.rsplit("/", 1)[-1] for path in project.files if path.startswith(f"{name}/")]
    if any(file not in EMPTY for file in tracked):
        return False
    return bool(tracked) or name in ignored or f"{name}/*" in ignored
