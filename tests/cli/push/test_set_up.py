"""What `init --push` writes into which repository, and where it refuses."""

import json
import subprocess
from pathlib import Path

import pytest
from spec.orchestrator import environment

from slot_machine.cli.push import set_up as module
from slot_machine.cli.push.report import report
from slot_machine.cli.push.set_up import set_up
from slot_machine.cli.service import place
from slot_machine.core.config_file import parse
from slot_machine.core.errors import ConfigError


@pytest.fixture(autouse=True)
def _own_git(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(place, "executable", lambda: (Path("/opt/my tools/slot-machine"), True))


def git(folder: Path, *args: str) -> str:
    argv = ["git", "-C", str(folder), *args]
    return subprocess.run(argv, env=environment(), check=True, capture_output=True, text=True).stdout.strip()


def working(folder: Path) -> Path:
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch", "main")
    (folder / "slot-machine.json").write_text('{"start_command": "app"}')
    git(folder, "commit", "--quiet", "--allow-empty", "--message", "one")
    return folder


def test_a_new_repository(tmp_path: Path) -> None:
    done = set_up(tmp_path / "shop.git")

    assert (done.repo, done.config, done.branch) == (
        tmp_path / "shop.git",
        tmp_path / "shop.git/slot-machine.json",
        "",
    )
    config, warnings = parse(done.config.read_text())
    assert (config.daemon.name, config.daemon.app_config, warnings) == ("shop", "slot-machine.json", [])
    hook = done.repo / "hooks/proc-receive"
    assert f"exec '/opt/my tools/slot-machine' receive --config {done.config} proc-receive" in hook.read_text()
    assert hook.stat().st_mode & 0o111
    assert git(done.repo, "config", "core.logAllRefUpdates") == "true"
    assert set_up(done.repo).changed == ()


def test_a_configuration_that_lies_elsewhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "etc/slot-machine.json"
    config.parent.mkdir()
    config.write_text('{"user": "shop"}')
    done = set_up(tmp_path / "shop.git", config)

    assert f"receive --config {config} proc-receive" in (done.repo / "hooks/proc-receive").read_text()
    assert not (done.repo / "slot-machine.json").exists()
    report(done, as_json=False)
    assert f"the daemon: slot-machine start --config {config} --repo {done.repo}\n" in capsys.readouterr().err


def test_a_bare_repository_with_commits_and_settings(tmp_path: Path) -> None:
    git(tmp_path, "clone", "--quiet", "--bare", str(working(tmp_path / "work")), "shop.git")
    git(tmp_path / "shop.git", "config", "transfer.hideRefs", "refs/mine")
    done = set_up(tmp_path / "shop.git")

    assert done.branch == "main"
    hidden = git(done.repo, "config", "--get-all", "transfer.hideRefs").split()
    assert hidden == ["refs/mine", "refs/slot-machine"]


def test_a_working_copy_keeps_its_files_and_its_branch(tmp_path: Path) -> None:
    folder = working(tmp_path / "work")
    before = (folder / "slot-machine.json").read_text()
    done = set_up(folder)
    assert (done.branch, done.config.read_text()) == ("main", before)
    assert (folder / ".git/hooks/proc-receive").exists()
    git(folder, "checkout", "--quiet", "-b", "other")
    assert (set_up(folder).branch, set_up(folder).changed) == ("main", ())


def test_a_hook_is_written_anew_after_an_upgrade(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = set_up(tmp_path / "shop.git")
    monkeypatch.setattr(place, "executable", lambda: (Path("/new/slot-machine"), True))
    assert set_up(done.repo).changed == tuple(str(done.repo / "hooks" / name) for name in module.HOOKS)
    assert "exec /new/slot-machine " in (done.repo / "hooks/pre-receive").read_text()


def test_what_cannot_be_set_up_is_left_as_it_is(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.mkdir()
    (plain / "file").touch()
    with pytest.raises(ConfigError, match="is no git repository"):
        set_up(plain)
    folder = working(tmp_path / "work")
    (folder / "slot-machine.json").unlink()
    with pytest.raises(ConfigError, match="there is no slot-machine") as refused:
        set_up(folder)
    assert refused.value.hint == "run `slot-machine init` there first"
    with pytest.raises(ConfigError, match="there is no folder"):
        set_up(tmp_path / "none" / "shop.git")


def test_hooks_of_others_are_not_replaced(tmp_path: Path) -> None:
    folder = working(tmp_path / "work")
    hook = folder / ".git/hooks/pre-receive"
    hook.write_text("#!/bin/sh\nexit 0\n")
    with pytest.raises(ConfigError, match="is a hook of yours"):
        set_up(folder)
    assert not (folder / ".git/hooks/proc-receive").exists()
    hook.unlink()
    git(folder, "config", "core.hooksPath", ".husky")
    with pytest.raises(ConfigError, match=r"core\.hooksPath leads git to the hooks in .*\.husky") as refused:
        set_up(folder)
    assert "config core.hooksPath" in refused.value.hint


def test_a_detached_head_has_no_branch_to_follow(tmp_path: Path) -> None:
    folder = working(tmp_path / "work")
    git(folder, "checkout", "--quiet", "--detach")
    with pytest.raises(ConfigError, match="is on no branch"):
        set_up(folder)


def test_a_second_set_up_changes_nothing_after_a_push_has_detached_the_head(tmp_path: Path) -> None:
    folder = working(tmp_path / "shop")
    set_up(folder)
    git(folder, "checkout", "--quiet", "--detach")
    done = set_up(folder)

    assert (done.branch, done.changed) == ("main", ())


def test_an_old_git_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "OLDEST_GIT", (99, 0))
    with pytest.raises(ConfigError, match=r"it needs 99\.0"):
        set_up(tmp_path / "shop.git")


def test_fields_of_the_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report(set_up(tmp_path / "shop.git"), as_json=True)
    fields = json.loads(capsys.readouterr().out)
    assert fields.keys() == {"repository", "config", "branch", "remote", "changed"}
    assert fields["remote"].endswith(f":{tmp_path}/shop.git")
