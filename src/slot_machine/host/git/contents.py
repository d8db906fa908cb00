"""What a repository says of a commit, without a checkout: its description, and single files."""

from pathlib import Path

from slot_machine.core.errors import GitFailed
from slot_machine.core.origin import LONGEST_SUBJECT, Description
from slot_machine.host.git.git import Git

SYMLINK = "120000"
"""The mode of a symlink in a tree of git."""

LARGEST_BYTES = 1_000_000
"""Of a file that is read from a commit."""


async def describe(git: Git, repo: Path, commit: str) -> Description:
    """Raises GitFailed."""
    argv = ("show", "--no-patch", "--no-show-signature", "--encoding=UTF-8", "--format=%s%x00%an%x00%cI", commit)
    subject, author, committed_at = (await git.run(repo, *argv)).rstrip("\n").split("\0")
    return Description(subject[:LONGEST_SUBJECT], author[:LONGEST_SUBJECT], committed_at)


async def file_at(git: Git, repo: Path, commit: str, path: str) -> bytes | None:
    """The file that a commit has at a path from the repository's top, as a checkout makes it.

    None if there is none. Raises GitFailed.
    """
    entry = await git.run(repo, "ls-tree", "--full-tree", "-lz", commit, "--", path)
    if not entry:
        return None
    mode, kind, _, size = entry.partition("\t")[0].split()
    if kind != "blob" or mode == SYMLINK:
        raise GitFailed(f"{path} is not a regular file in {commit[:8]}", "commit a regular file")
    if int(size) > LARGEST_BYTES:
        raise GitFailed(f"{path} has {size} bytes in {commit[:8]}", f"at most {LARGEST_BYTES} are read")
    content = bytearray()
    argv = ("cat-file", "--filters", f"{commit}:{path}")
    code, _, err = await git.attempt(repo, *argv, on_output=content.extend)
    if code:
        raise git.failure("cat-file", code, err)
    return bytes(content)


async def path_in_repository(git: Git, repo: Path, file: Path) -> str:
    """Of a file, from the repository's top; empty if it lies outside. Raises GitFailed."""
    folder = await top(git, repo)
    return str(file.relative_to(folder)) if folder and file.is_relative_to(folder) else ""


async def top(git: Git, repo: Path) -> Path | None:
    """The folder of the repository; None for a bare one. Raises GitFailed."""
    code, out, _ = await git.attempt(repo, "rev-parse", "--show-toplevel")
    return Path(out.removesuffix("\n")) if code == 0 else None
