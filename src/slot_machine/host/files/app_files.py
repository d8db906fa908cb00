"""Finds files in a tree that are in no commit, and tells whether a setup made them, or else the app or a person."""

import asyncio
import itertools
import os
import stat
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from slot_machine.core.model import Made
from slot_machine.host.files import mounts, written
from slot_machine.host.files.databases import COMPANIONS, database_of
from slot_machine.host.git.listing import COMPILED, PACKAGES, CannotList, Git, Listing, is_packages
from slot_machine.host.process.threads import in_thread
from slot_machine.host.user.rights import acting

MOST_IGNORED = 20_000
"""At most so many ignored files of a setup are remembered. Further ones count as the app's."""

BINARY_WITHIN_BYTES = 8000
"""A file with a NUL in its first bytes is binary. Git uses the same limit."""

LONGEST_BYTES = os.pathconf("/", "PC_PATH_MAX") - 256
MOST_PARTS = 200
"""Of a path. For a deeper one, its topmost folder is kept as a whole."""

NAMES_SKIPPED = {COMPILED, *(os.path.basename(name) for name in PACKAGES)}

BUT_SUBMODULES = "--ignore-submodules=all"

GONE = (-1, 0)
"""The state of a file that does not exist."""


class AppFiles:
    """Files of one tree that no commit has. `made` are those that its latest setup made, None for no setup.

    After a setup that did not finish, files also count as made by it if they changed since `begun_ns` and git did not
    ignore them before the checkout. `shared` are paths that lead to shared data, which is not in the tree.
    """

    def __init__(self, git: Git, tree: Path, made: Made | None, begun_ns: int = 0, shared: Sequence[str] = ()) -> None:
        self._git = git
        self._tree = tree
        self._list = Listing(git, tree, shared)
        self._shared = tuple(shared)
        self._made = made or Made()
        self._begun_ns = begun_ns
        self._seen: set[str] = set()
        self._ignored_of_app: set[str] | None = set()
        self._former_submodules: set[str] = set()

    async def edits(self) -> list[str]:
        """Tracked files that the app or a person edited or deleted, without data files."""
        changed = await self._list.changed()
        found = await self._not_of_setup(changed)
        return await in_thread(
            lambda: self._removed(changed) + [name for name in found if not is_data(self._tree / name)]
        )

    def _removed(self, names: Iterable[str]) -> list[str]:
        """Those that are gone, or behind a symlink, and were not so after the setup. Blocks."""
        gone = (name for name in names if _stat(self._tree / name) == GONE or _is_beyond_link(self._tree, name))
        return [name for name in gone if _stat(self._tree / name) != self._made.files.get(os.fsencode(name))]

    async def data_changed(self) -> bool:
        """Whether the app changed a tracked data file, such as a database."""
        changed = await self._not_of_setup(await self._list.changed(BUT_SUBMODULES))
        return bool(changed) and await in_thread(lambda: any(is_data(self._tree / name) for name in changed))

    async def in_use(self) -> list[str]:
        """All files that the app or a person wrote into the tree, except for ignored ones."""
        changed, others, submodules = await asyncio.gather(
            self._list.changed(BUT_SUBMODULES), self._others(), self._in_submodules()
        )
        return await self._not_of_setup([*changed, *others, *submodules])

    async def written(self) -> list[str]:
        """Files in no commit that the app wrote since the tree was prepared, ignored ones too, but no caches."""
        since_ns = self._made.ready_ns
        names = await self._list.everything() if since_ns else []
        if not names:
            return []
        return await self._not_of_setup(await in_thread(lambda: written.candidates(self._tree, names, since_ns)))

    async def lines_to_share(self, names: Iterable[str], root: str) -> str:
        """What to write into the configuration, so that all versions have these files."""
        return written.lines(names, await self._list.tracked(), root)

    async def overwritten_by(self, commit: str) -> list[str]:
        """Files that a checkout of the commit would overwrite or separate from their database. Raises CannotList."""
        changed = await self._list.changed(BUT_SUBMODULES, checked=True)
        added, submodules, logs = await asyncio.gather(
            self._list.added(commit),
            self._in_submodules(),
            self._list.ending(*COMPANIONS),
        )
        if self._made.unfinished:
            self._seen = {*changed, *await self._list.others()}
        in_the_way = await in_thread(lambda: set(self._in_the_way(added))) if added else set()
        folders = [name for name in in_the_way if is_folder(self._tree / name)]
        tracked = set(await self._list.tracked()) if in_the_way or logs else set()
        in_the_way -= {*tracked, *folders}
        in_the_way.update(await self._list.below(folders))
        logs = [name for name in logs if database_of(name) in tracked.union(added)]
        return await self._not_of_setup([*changed, *submodules, *sorted(in_the_way), *logs])

    async def removed_by_clean(self) -> list[str]:
        """Files that `git clean` would remove after the checkout. Raises CannotList."""
        others = await self._others(checked=True)
        return await self._not_of_setup(name for name in others if name not in self._former_submodules)

    async def everything(self) -> list[str]:
        """All files of the app, even ignored ones, but no packages. If git can't list them, all files at all."""
        try:
            names = await self._list.everything()
            changed = await self._list.changed(BUT_SUBMODULES, checked=True)
        except CannotList:
            known = {".git", *PACKAGES, COMPILED}
            return [name for name in os.listdir(self._tree) if name not in known] if self._tree.is_dir() else []
        tracked = await self._list.tracked()
        others = await in_thread(lambda: list(self._files(names)))
        sealed = await in_thread(lambda: self._sealed(tracked))
        deep = {Path(name).parts[0] for name in others if is_too_deep(self._tree / name)}
        reachable = (name for name in others if Path(name).parts[0] not in deep)
        return [*sorted(deep), *await self._not_of_setup([*changed, *reachable, *sealed])]

    async def before_setup(self) -> None:
        """Remembers which ignored files exist before the setup: they are the app's, even if the setup changes them."""
        try:
            ignored = await self._ignored_files()
        except OSError:
            self._ignored_of_app = None
            return
        few = len(ignored) <= MOST_IGNORED
        self._ignored_of_app = set(await self._not_of_setup(ignored)) if few else None

    async def of_setup(self) -> Made:
        """The files that the setup made. Called right after it."""
        try:
            changed, others, ignored = await asyncio.gather(
                self._list.changed(), self._list.others(), self._ignored_files()
            )
        except OSError:  # Too many names. Nothing counts as the setup's then, so all is kept.
            return Made()
        of_app = self._ignored_of_app
        below = [] if of_app is None else [name for name in ignored if name not in of_app][:MOST_IGNORED]
        names = (*changed, *others, *below)
        if not names:
            return Made()
        stats = await in_thread(lambda: [(os.fsencode(name), _stat(self._tree / name)) for name in names])
        return Made(dict(stats))

    async def _ignored_files(self) -> list[str]:
        """The first 2 * MOST_IGNORED + 1 ignored files. Raises OSError."""
        ignored = await self._list.ignored()
        if not ignored:
            return []
        return await in_thread(lambda: list(itertools.islice(self._files(ignored), 2 * MOST_IGNORED + 1)))

    def _files(self, names: Iterable[str]) -> Iterator[str]:
        """Those names, but folders are replaced by the files in them. Without packages and mounts. Blocks.

        Another repository stays one name. So does a folder that is too deep or may not be read.
        """
        left, mounted = list(names), mounts.below(self._tree)
        while left:
            name = left.pop()
            path = self._tree / name
            if path in mounted or COMPILED in path.parts or is_packages(path):
                continue
            if is_too_deep(path) or not is_folder(path) or _is_sealed(path) or os.path.lexists(path / ".git"):
                yield name
            else:
                for inner, can_contain in _listed(path):
                    if can_contain or mounted or inner in NAMES_SKIPPED:
                        left.append(f"{name}/{inner}")
                    else:
                        yield f"{name}/{inner}"

    def _sealed(self, tracked: Iterable[str]) -> list[str]:
        """Folders with tracked files that may not be read, so git lists nothing in them. Blocks."""
        parents = {str(parent) for name in tracked for parent in Path(name).parents[:-1]}
        return sorted(name for name in parents if _is_sealed(self._tree / name))

    async def _not_of_setup(self, names: Iterable[str]) -> list[str]:
        """Those that the setup did not make. A `-wal` file and the like is replaced by its database."""
        found = self._list.without_shared(names)
        return await in_thread(lambda: list(dict.fromkeys(self._of_app(found)))) if found else []

    def _of_app(self, names: Iterable[str]) -> Iterator[str]:
        for name in names:
            database = database_of(name)
            is_beside = database not in self._shared and os.path.lexists(self._tree / database)
            whole = database if is_beside else name
            if any(map(self._is_of_app, {name, whole})) and not _is_beyond_link(self._tree, name):
                yield whole

    def _is_of_app(self, name: str) -> bool:
        state = _stat(self._tree / name)
        if state == GONE or state == self._made.files.get(os.fsencode(name)):
            return False
        return not self._made.unfinished or name not in self._seen or not self._is_since_begun(name)

    def _is_since_begun(self, name: str) -> bool:
        changed_ns = (self._tree / name).lstat().st_ctime_ns
        return 0 < self._begun_ns <= changed_ns <= time.time_ns()

    def _in_the_way(self, names: Iterable[str]) -> Iterator[str]:
        for name in names:
            parents = [str(parent) for parent in reversed(Path(name).parents[:-1])]
            blocking = (parent for parent in parents if not is_folder(self._tree / parent))
            found = next(blocking, name)
            if os.path.lexists(self._tree / found):
                yield found

    async def _in_submodules(self) -> list[str]:
        found: list[str] = []
        self._former_submodules = set(await self._list.submodules())
        for path in self._former_submodules:
            inner = AppFiles(self._git, self._tree / path, None)
            changed, others = await asyncio.gather(inner._list.changed(BUT_SUBMODULES), inner._others())
            found += [f"{path}/{name}" for name in (*changed, *others)]
        for path in await self._list.empty_submodules():
            found += [f"{path}/{name}" for name, _ in _listed(self._tree / path)]
        return found

    async def _others(self, *, checked: bool = False) -> list[str]:
        """Untracked files. A folder is one name if none of its files stays: it may have 200,000. Raises CannotList."""
        if self._made.unfinished:
            return await self._list.others(checked=checked)
        others = await self._list.folders(checked=checked)
        of_setup = map(os.fsdecode, self._made.files)
        stays = [*await self._list.ignored(), *of_setup, *self._shared] if others else []
        mixed = {str(parent) for name in stays for parent in Path(name).parents}.intersection(others)
        files = await self._list.others(checked=checked) if mixed else []
        below = (name for name in files if any(str(parent) in mixed for parent in Path(name).parents))
        return [*(name for name in others if name not in mixed), *below]


def is_too_deep(path: Path) -> bool:
    """Whether the path is too long for the kernel, here or in `kept`, or too deep to walk."""
    return len(path.parts) > MOST_PARTS or len(os.fsencode(path)) > LONGEST_BYTES


@acting()
def is_data(path: Path) -> bool:
    """Whether it is a binary file that is not executable: a program wrote it, not a person."""
    try:
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK | os.O_NOFOLLOW)) as file:
            mode = os.fstat(file.fileno()).st_mode
            return stat.S_ISREG(mode) and not mode & 0o111 and b"\0" in file.read(BINARY_WITHIN_BYTES)
    except OSError:
        return False


def _is_sealed(path: Path) -> bool:
    return is_folder(path) and not os.access(path, os.R_OK | os.X_OK, effective_ids=True)


@acting()
def _is_beyond_link(tree: Path, name: str) -> bool:
    return any(os.path.islink(tree / parent) for parent in Path(name).parents[:-1])


@acting()
def is_folder(path: Path) -> bool:
    """Whether it is a folder and no symlink to one."""
    return os.path.isdir(path) and not os.path.islink(path)


@acting()
def _listed(folder: Path) -> list[tuple[str, bool]]:
    """The names in a folder, and whether each is a folder. Empty if it may not be read."""
    with suppress(OSError), os.scandir(folder) as entries:
        return [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    return []


@acting()
def _stat(path: Path) -> tuple[int, int]:
    """Size in bytes and time of the last change in ns, or GONE."""
    try:
        status = path.lstat()
    except OSError:
        return GONE
    return status.st_size, status.st_mtime_ns
