"""The submodules of a tree. Their git dirs lie in the git dir of its worktree, so no two trees share any."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from slot_machine.core.errors import GitFailed
from slot_machine.host.files.removal import remove
from slot_machine.host.git import credentials, gitdir
from slot_machine.host.git.git import Git, without_password
from slot_machine.host.user import rights

UPDATES_THAT_MERGE = ("merge", "rebase")
"""Values of `submodule.NAME.update` that may check out something else than the commit names."""

FIELDS = r"^submodule\..*\.(path|url|update)$"


Clean = Callable[[Path], Sequence[str]]


class Submodule(NamedTuple):
    name: str
    parent: Path
    """The working tree that contains it. `path` is relative to this one."""
    path: str
    git_dir: Path
    url: str
    update: str

    @property
    def folder(self) -> Path:
        return self.parent / self.path

    @property
    def is_populated(self) -> bool:
        return self.is_in_place and gitdir.named_by(self.folder / ".git") == self.git_dir

    @property
    def leading_folders(self) -> list[Path]:
        """The folders between the working tree and the submodule, the outermost first."""
        return [self.parent / folder for folder in reversed(Path(self.path).parents[:-1])]

    @property
    def is_in_place(self) -> bool:
        """Whether no symlink leads to it."""
        return self.folder.resolve() == self.parent.resolve() / self.path


class Submodules:
    """Updates submodules. Every call raises GitFailed."""

    def __init__(self, git: Git, owner: str) -> None:
        self._git = git
        self._owner = owner

    async def all(self, tree: Path, git_dir: Path) -> list[Submodule]:
        """All submodules of a tree. Nested ones follow the one that contains them."""
        found = []
        for submodule in await self._of(tree, git_dir):
            found.append(submodule)
            if submodule.is_populated:
                found += await self.all(submodule.folder, submodule.git_dir)
        return found

    async def forget(self, former: Sequence[Submodule], tree: Path, git_dir: Path) -> None:
        """Deletes the `.git` of submodules that the commit no longer has: it would hide their files from git."""
        candidates = [submodule for submodule in former if submodule.parent == tree]
        now = {submodule.folder for submodule in await self._of(tree, git_dir)} if candidates else set()
        for submodule in candidates:
            if submodule.folder not in now and submodule.is_in_place:
                await remove(submodule.folder / ".git", self._owner)

    async def update(self, former: Sequence[Submodule], tree: Path, git_dir: Path, clean: Clean) -> None:
        """Checks out the submodules of the commit, nested ones too. `clean` makes the arguments of git clean."""
        submodules = await self._of(tree, git_dir)
        if not submodules:
            return
        for submodule in submodules:
            await self._make_way(submodule)
        await self._git.run(tree, "submodule", "--quiet", "sync")
        await self._fetch(tree, git_dir, submodules)
        for submodule in filter(lambda submodule: submodule.is_populated, submodules):
            gitdir.keep_index(submodule.git_dir)
            await self.forget(former, submodule.folder, submodule.git_dir)
            await self._git.run(submodule.folder, *clean(submodule.folder))
            await self.update(former, submodule.folder, submodule.git_dir, clean)

    async def _of(self, tree: Path, git_dir: Path) -> list[Submodule]:
        """Submodules that both `.gitmodules` and the index name. Paths in the index never lead out of the tree."""
        file = tree / ".gitmodules"
        if not file.is_file() or file.is_symlink():
            return []
        _, named, _ = await self._git.attempt(tree, "config", "--file", file.name, "-z", "--get-regexp", FIELDS)
        _, chosen, _ = await self._git.attempt(tree, "config", "-z", "--get-regexp", FIELDS)
        values = _values(named)
        names = {value: name for (name, key), value in values.items() if key == "path" and _is_below(name, value)}
        argv = ("--literal-pathspecs", "ls-files", "--stage", "-z", "--", *names)
        entries = (await self._git.attempt(tree, *argv))[1].split("\0") if names else []
        values |= _values(chosen)
        found = []
        for path in (entry.partition("\t")[2] for entry in entries if entry.startswith("160000 ")):
            if name := names.get(path):
                url, update = values.get((name, "url"), ""), values.get((name, "update"), "")
                found.append(Submodule(name, tree, path, git_dir / "modules" / name, url, update))
        return found

    async def _make_way(self, submodule: Submodule) -> None:
        """Removes what would stop git: it clones only into an empty folder, and never repairs an unfinished clone."""
        _clear_links(submodule)
        whole = await self._is_whole(submodule)
        if not whole:
            await remove(submodule.git_dir, self._owner)
        if whole and submodule.is_populated:
            gitdir.restore_index(submodule.git_dir)
        else:
            await remove(submodule.folder, self._owner)
            rights.acting()(rights.make_folder)(submodule.folder)

    async def _is_whole(self, submodule: Submodule) -> bool:
        argv = ("--git-dir=.", "rev-parse", "--verify", "--quiet", "HEAD^{commit}")
        return (await self._git.attempt(submodule.git_dir, *argv))[0] == 0

    async def _fetch(self, tree: Path, git_dir: Path, submodules: Sequence[Submodule]) -> None:
        updates = {
            f"submodule.{submodule.name}.update": "checkout"
            for submodule in submodules
            if submodule.update in UPDATES_THAT_MERGE
        }
        env = await self._git.remote_environment(tree)
        try:
            await self._git.run(tree, "submodule", "--quiet", "update", "--init", "--force", config=updates, env=env)
        except GitFailed as error:
            # With the addresses as `sync` has set them.
            submodules = await self._of(tree, git_dir)
            missing = [submodule for submodule in submodules if not await self._is_whole(submodule)]
            urls = sorted({without_password(submodule.url) for submodule in missing or submodules})
            hint = error.hint or credentials.hint(str(error))
            raise type(error)(f"{error}; it asked {', '.join(urls)}", hint) from None


@rights.acting()
def _clear_links(submodule: Submodule) -> None:
    while link := next(filter(Path.is_symlink, submodule.leading_folders), None):
        link.unlink()


def _values(listing: str) -> dict[tuple[str, str], str]:
    """Parses the output of `git config -z`: values by submodule and key."""
    found = {}
    for entry in filter(None, listing.split("\0")):
        variable, _, value = entry.partition("\n")
        name, _, key = variable.removeprefix("submodule.").rpartition(".")
        found[name, key] = value
    return found


def _is_below(*paths: str) -> bool:
    """Whether none of the paths leads out of its folder. Git refuses such, too."""
    return not any(".." in Path(path).parts or Path(path).is_absolute() for path in paths)
