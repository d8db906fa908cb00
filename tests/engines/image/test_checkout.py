"""A commit in a temporary folder, and the user's repository afterwards."""

import os
import signal
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from slot_machine.core.errors import CommitNotFound, GitFailed, StageFailed
from slot_machine.engines.image.checkout import PREFIX, checked_out
from tests.repository import Repository

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n"
HELD = """
import sys, time
from pathlib import Path
from slot_machine.engines.image.checkout import checked_out
with checked_out(Path(sys.argv[1]), sys.argv[2], "") as found:
    print(found.folder, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return Repository(tmp_path)


def everything(repository: Repository) -> set[str]:
    git = repository.path / ".git"
    return {str(path.relative_to(git)) for path in git.rglob("*") if path.is_file() and "objects" not in path.parts}


def left(repository: Repository) -> list[Path]:
    return list((repository.path.parent / "tmp").iterdir())


def test_files_are_those_of_the_commit_and_nothing_stays(repository: Repository) -> None:
    commit = repository.commit({"app.py": "1", "web/package.json": "{}"})
    (repository.path / "untracked").write_text("x")
    before = everything(repository)
    with checked_out(repository.path, commit, "web") as found:
        names = {str(path.relative_to(found.folder)) for path in found.folder.rglob("*")}
        assert names == {"app.py", "web", "web/package.json"}
        assert set(found.files.digests) == {"app.py", "web/package.json"}
        assert found.files.read("web/package.json") == "{}"
        assert everything(repository) == before
    assert left(repository) == []
    assert repository.git("worktree", "list").count("\n") == 0


def test_times_and_modes_are_those_of_the_commit(repository: Repository) -> None:
    repository.commit({"run.sh": "1", "dir/file": "1"})
    (repository.path / "run.sh").chmod(0o755)
    (repository.path / "link").symlink_to("nowhere")
    repository.git("add", "--all")
    repository.git("commit", "--quiet", "--amend", "--no-edit", "--date", "2001-01-01T00:00:00Z")
    commit = repository.git("rev-parse", "HEAD")
    seen = []
    for umask in (0o022, 0o077):
        before = os.umask(umask)
        try:
            with checked_out(repository.path, commit, "") as found:
                paths = [found.folder, *sorted(found.folder.rglob("*"))]
                states = [(path.name, path.lstat()) for path in paths[1:]]
                seen.append([(name, stat.S_IMODE(state.st_mode), state.st_mtime) for name, state in states])
        finally:
            os.umask(before)
    assert seen[0] == seen[1]
    assert {name: mode for name, mode, _ in seen[0]} == {"dir": 0o755, "file": 0o644, "link": 0o777, "run.sh": 0o755}
    assert {time for _, _, time in seen[0]} == {int(repository.git("show", "--no-patch", "--format=%ct"))}


def test_submodules_are_checked_out(repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "other").mkdir()
    lib = Repository(tmp_path / "other")
    lib.commit({"file": "1"})
    repository.commit({"app": "1"})
    repository.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(lib.path), "lib")
    repository.git("config", "protocol.file.allow", "always")
    repository.git("commit", "--quiet", "--message", "submodule")
    monkeypatch.setenv("GIT_ALLOW_PROTOCOL", "file")
    before = everything(repository)
    with checked_out(repository.path, repository.git("rev-parse", "HEAD"), "") as found:
        assert (found.folder / "lib" / "file").read_text() == "1"
        assert not list(found.folder.rglob(".git"))
        assert everything(repository) == before


def test_pointers_of_lfs_are_refused(repository: Repository) -> None:
    commit = repository.commit({".gitattributes": "*.png filter=lfs -text\n", "logo.png": POINTER})
    with (
        pytest.raises(StageFailed, match=r"only the pointers of Git LFS are there, not the files: logo\.png"),
        checked_out(repository.path, commit, ""),
    ):
        pass
    assert left(repository) == []
    assert repository.git("worktree", "list").count("\n") == 0


def test_a_root_that_is_not_there_is_refused(repository: Repository) -> None:
    commit = repository.commit({"a": "1"})
    with (
        pytest.raises(StageFailed, match="'web' is not a folder in commit"),
        checked_out(repository.path, commit, "web"),
    ):
        pass


def test_a_commit_that_is_not_there(repository: Repository) -> None:
    repository.commit({"a": "1"})
    with pytest.raises((GitFailed, CommitNotFound)), checked_out(repository.path, "0" * 40, ""):
        pass
    assert left(repository) == []


def test_what_a_killed_process_left_is_removed_by_the_next(repository: Repository) -> None:
    commit = repository.commit({"a": "1"})
    argv = [sys.executable, "-c", HELD, str(repository.path), commit]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout
        assert other.stdout.readline().startswith(f"{repository.path.parent / 'tmp'}/{PREFIX}")
        with checked_out(repository.path, commit, ""):
            assert len(left(repository)) == 2
        other.send_signal(signal.SIGKILL)
    with checked_out(repository.path, commit, ""):
        assert len(left(repository)) == 1


def test_the_worktree_of_a_killed_process_is_forgotten(repository: Repository, tmp_path: Path) -> None:
    commit = repository.commit({"a": "1"})
    gone, users = tmp_path / "tmp" / f"{PREFIX}gone" / "tree-1", tmp_path / "mine"
    gone.parent.mkdir()
    (gone.parent / "lock").touch()
    for path in (gone, users):
        repository.git("worktree", "add", "--quiet", "--detach", str(path))
    with checked_out(repository.path, commit, ""):
        pass
    assert [path.name for path in (repository.path / ".git" / "worktrees").iterdir()] == ["mine"]
    assert left(repository) == []
