"""What `doctor` finds, each with what to do."""

import json
import os
import pty
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from spec.ports import free_port

from slot_machine.cli.doctor import app, examine, follow, machine, unit
from slot_machine.cli.doctor.finding import Finding, Subject
from slot_machine.cli.service import place, start_options, systemd
from slot_machine.cli.service.unit import Service, text_of
from slot_machine.daemon.lock import Holder, locked
from slot_machine.handover import rehearsal
from slot_machine.host.files import capacity
from slot_machine.host.files.capacity import Size
from slot_machine.host.network import ports
from slot_machine.host.process import cgroup
from slot_machine.host.user import rights

GIT = ("git", "-c", "user.name=ada", "-c", "user.email=ada@example.com")
Checked = Callable[..., list[Finding]]


class Shop:
    """A repository with a configuration, and checks of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / ".slot-machine"
        self.port, self.api_port = free_port(), free_port()
        self.holder: Holder | None = None
        subprocess.run(["git", "init", "--quiet", folder], check=True)
        self.configure()

    def configure(self, **config: object) -> None:
        fields = {"start_command": "app", "port": self.port, "api_port": self.api_port} | config
        (self.folder / "slot-machine.json").write_text(json.dumps(fields))

    @property
    def subject(self) -> Subject:
        return Subject(start_options.read(())[0], self.holder)

    def found(self, check: Callable[[Subject], Iterator[Finding]]) -> list[Finding]:
        return list(check(self.subject))

    def only(self, check: Callable[[Subject], Iterator[Finding]]) -> tuple[str, str, str]:
        """Level, text and hint of the one finding."""
        (found,) = self.found(check)
        return found.level, found.text, found.hint


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(systemd, "UNITS", tmp_path / "units")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    yield Shop(tmp_path)
    rights.end()  # The umask is that of the whole process.


@pytest.mark.usefixtures("shop")
def test_good_app_has_nothing_wrong() -> None:
    findings = examine.all_checks(lambda: start_options.read(())[0])

    assert [found for found in findings if found.level == "wrong"] == []
    assert {"config", "git", "kernel", "groups", "handover", "clock", "limits", "disk", "permissions", "daemon"} <= {
        found.check for found in findings
    }
    assert all(found.hint for found in findings if found.level != "ok")


def test_configuration_that_cannot_be_read_is_found_and_the_machine_is_examined(shop: Shop) -> None:
    (shop.folder / "slot-machine.json").write_text("{")

    findings = examine.all_checks(lambda: start_options.read(())[0])

    assert (findings[0].check, findings[0].level) == ("config", "wrong")
    assert findings[0].hint.startswith("correct it")
    assert "kernel" in {found.check for found in findings}


def test_repository_that_is_none(shop: Shop) -> None:
    (shop.folder / ".git").rename(shop.folder / "elsewhere")
    level, text, _ = shop.only(machine.git)
    assert (level, "not a git repository" in text) == ("wrong", True)


def test_git_that_is_missing(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(shop.folder))
    assert shop.only(machine.git) == ("wrong", "git is not on the PATH", "install it")


def test_lock_of_a_git_that_was_killed(shop: Shop) -> None:
    lock = shop.folder / ".git" / "index.lock"
    lock.touch()
    assert len(shop.found(machine.git)) == 1  # A git may hold it just now.
    os.utime(lock, (0, time.time() - 3600))

    _, found = shop.found(machine.git)

    assert found.level == "wrong"
    assert found.hint == f"if no git runs there, remove it: rm {lock}"


def test_kernel_that_cannot_do_all(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cgroup, "usable_parent", lambda: None)
    monkeypatch.setattr(rehearsal, "rehearse", lambda: "no seccomp")

    _, groups, handover = shop.found(machine.kernel)

    assert (groups.level, handover.level) == ("note", "note")
    assert "slot-machine install" in groups.hint
    assert "no seccomp" in handover.text


def test_groups_of_a_daemon_that_runs_are_those_that_count(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.holder = Holder(os.getpid(), shop.api_port)
    monkeypatch.setattr(cgroup, "group_for_runs", lambda _: shop.folder / "missing")
    assert [found.level for found in shop.found(machine.kernel) if found.check == "groups"] == ["note"]
    monkeypatch.setattr(cgroup, "group_for_runs", lambda _: shop.folder)
    assert [found.level for found in shop.found(machine.kernel) if found.check == "groups"] == ["ok"]


def test_clock_that_was_set_back(shop: Shop) -> None:
    shop.data.mkdir()
    database = shop.data / "state.db"
    database.touch()
    os.utime(database, (0, time.time() + 3600))

    level, text, hint = shop.only(machine.clock)

    assert (level, "the clock was set back" in text) == ("wrong", True)
    assert hint


@pytest.mark.parametrize(
    ("free", "level"),
    [
        (Size(5_000_000_000, 10_000), "ok"),
        (Size(500_000_000, 10_000), "note"),
        (Size(1, 10_000), "wrong"),
        (Size(5_000_000_000, 3), "wrong"),
    ],
)
def test_disk(shop: Shop, monkeypatch: pytest.MonkeyPatch, free: Size, level: str) -> None:
    monkeypatch.setattr(capacity, "free", lambda _: free)
    assert shop.only(machine.disk)[0] == level


def test_port_of_another_program(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "ephemeral_start", lambda: 65_536)
    with socket.create_server(("", shop.port)):
        taken, free = shop.found(app.used_ports)
    assert (taken.level, taken.text.startswith(f"{shop.port} is used by ")) == ("wrong", True)
    assert (free.level, free.text) == ("ok", f"{shop.api_port} is free")


def test_api_port_that_was_changed_under_a_daemon(shop: Shop) -> None:
    shop.holder = Holder(os.getpid(), shop.api_port + 1)
    level, text, hint = shop.only(app.used_ports)
    assert (level, f"has api_port {shop.api_port + 1}" in text) == ("note", True)
    assert "stop it and start it again" in hint


def test_daemon_that_holds_the_lock_and_does_not_answer(shop: Shop) -> None:
    shop.data.mkdir(mode=0o700)
    with locked(shop.data, shop.api_port):
        shop.holder = Holder(os.getpid(), shop.api_port)
        level, text, hint = shop.only(app.daemon)
    assert (level, f"process {os.getpid()}" in text, f"kill -KILL {os.getpid()}" in hint) == ("wrong", True, True)


def test_lock_that_nobody_can_take(shop: Shop) -> None:
    (shop.data / "daemon.lock").mkdir(parents=True)
    level, _, hint = shop.only(app.daemon)
    assert (level, hint) == ("wrong", f"remove it: rm -r {shop.data}/daemon.lock")


def test_lock_of_a_daemon_that_was_killed_is_free(shop: Shop) -> None:
    shop.data.mkdir()
    (shop.data / "daemon.lock").write_text("1\n9100\n")
    assert shop.only(app.daemon)[0] == "note"


def test_branch_that_is_followed(shop: Shop) -> None:
    assert shop.found(follow.followed) == []
    shop.configure(follow={"remote": "."})
    level, text, hint = shop.only(follow.followed)
    assert (level, text) == ("wrong", "git ls-remote failed: couldn't find remote ref refs/heads/main")
    assert "set follow.branch" in hint
    subprocess.run(["git", "-C", shop.folder, "symbolic-ref", "HEAD", "refs/heads/main"], check=True)
    subprocess.run([*GIT, "-C", shop.folder, "commit", "-q", "--allow-empty", "-m", "one"], check=True)
    level, text, _ = shop.only(follow.followed)
    assert (level, text[:16]) == ("ok", "main of . is at ")
    shop.configure(follow={"remote": "nowhere"})
    assert shop.only(follow.followed)[0] == "wrong"


def test_webhook_without_a_secret(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    assert shop.found(follow.hooked) == []
    shop.configure(follow={}, webhook={"secret_env": "HOOK_SECRET"}, webhook_port=free_port())
    level, text, hint = shop.only(follow.hooked)
    assert (level, text[:27]) == ("wrong", "the webhook has no secret: ")
    assert "slot-machine env set HOOK_SECRET" in hint
    monkeypatch.setenv("HOOK_SECRET", "0123456789abcdef")
    assert shop.only(follow.hooked)[0] == "ok"


@pytest.mark.parametrize(
    ("text", "mode", "level", "words"),
    [
        ("A=1\n", 0o600, "ok", "has 1 variables"),
        ("A=1\n", 0o644, "note", "other users may read"),
        ("A\\='\n", 0o600, "wrong", "line 1"),
        (None, 0, "wrong", "does not exist"),
    ],
)
def test_env_file(shop: Shop, text: str | None, mode: int, level: str, words: str) -> None:
    shop.configure(env_file="app.env")
    if text is not None:
        (shop.folder / "app.env").write_text(text)
        (shop.folder / "app.env").chmod(mode)

    found = shop.only(app.env_file)

    assert (found[0], words in found[1]) == (level, True), found


def test_env_file_that_is_no_file(shop: Shop) -> None:
    shop.configure(env_file="app.env")
    os.mkfifo(shop.folder / "app.env")
    assert shop.only(app.env_file)[:2] == ("wrong", f"{shop.folder}/app.env can't be read: it is a FIFO, not a file")


def test_data_folder_in_a_place_where_it_cannot_be(shop: Shop) -> None:
    shop.configure(data=".")
    assert shop.only(app.folders)[0] == "wrong"


def test_few_files(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    assert shop.only(machine.limits)[0] == "ok"
    monkeypatch.setattr(machine, "FEW_FILES", 1 << 40)
    level, _, hint = shop.only(machine.limits)
    assert (level, "LimitNOFILE=" in hint) == ("note", True)


def test_data_folder_that_is_open_to_others(shop: Shop) -> None:
    shop.data.mkdir(mode=0o755)
    shop.data.chmod(0o755)
    assert shop.only(app.folders)[0] == "note"


def installed(shop: Shop, monkeypatch: pytest.MonkeyPatch, **changed: object) -> Path:
    """Writes and enables a unit of this user's systemd."""
    program = shop.folder / "bin/slot-machine"
    program.parent.mkdir(exist_ok=True)
    program.touch(mode=0o755)
    service = Service(
        "shop", "", shop.folder, program, (), f"{program.parent}:/usr/bin:/bin", shop.data, shop.folder, (3000,)
    )
    service = service._replace(**changed)  # type: ignore[arg-type]
    file = shop.folder / "config/systemd/user" / service.unit
    (file.parent / "default.target.wants").mkdir(parents=True)
    file.write_text(text_of(service))
    (file.parent / "default.target.wants" / service.unit).symlink_to(file)
    monkeypatch.setattr(unit, "lingers", lambda _: True)
    return file


def test_good_unit(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    file = installed(shop, monkeypatch)
    level, text, _ = shop.only(unit.unit)
    assert (level, text.startswith(f"{file} runs the daemon as ")) == ("ok", True)


def test_unit_whose_program_an_upgrade_removed(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(shop, monkeypatch, executable=Path("/opt/slot-machine-0.9/bin/slot-machine"))
    level, text, hint = shop.only(unit.unit)
    assert (level, "which does not exist any more" in text) == ("wrong", True)
    assert "slot-machine install" in hint


def test_unit_whose_program_bears_a_version(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    program = shop.folder / "slot-machine-1.2/slot-machine"
    program.parent.mkdir()
    program.touch(mode=0o755)
    installed(shop, monkeypatch, executable=program)
    assert shop.only(unit.unit)[0] == "note"


def test_unit_whose_path_is_gone(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(shop, monkeypatch, path="/gone/node-20.1/bin:/sbin")
    path, git = shop.found(unit.unit)
    assert (path.level, "/gone/node-20.1/bin" in path.text) == ("wrong", True)
    assert (git.level, "does not lead to git" in git.text) == ("wrong", True)


def test_unit_of_a_user_without_home(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = rights.account_of(str(os.geteuid()))
    monkeypatch.setattr(rights, "account_of", lambda _: ours._replace(home="/gone"))
    installed(shop, monkeypatch)
    level, text, _ = shop.only(unit.unit)
    assert (level, "/gone, does not exist" in text) == ("note", True)


def test_unit_of_a_user_who_was_removed(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(shop, monkeypatch, user="nobody-of-that-name")
    assert shop.only(unit.unit)[:2] == ("wrong", "there is no user 'nobody-of-that-name'")


def test_unit_that_is_not_enabled_or_ends_at_logout(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    file = installed(shop, monkeypatch)
    (file.parent / "default.target.wants" / file.name).unlink()
    monkeypatch.setattr(unit, "lingers", lambda _: False)
    enabled, lingers = shop.found(unit.unit)
    assert (enabled.level, enabled.hint) == ("wrong", f"run `systemctl --user enable {file.name}`")
    assert (lingers.level, "loginctl enable-linger" in lingers.hint) == ("wrong", True)


@pytest.mark.usefixtures("shop")
def test_check_that_fails_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: Path) -> Size:
        raise OSError("no disk")

    monkeypatch.setattr(capacity, "free", broken)
    findings = examine.all_checks(lambda: start_options.read(())[0])
    assert [found.text for found in findings if found.check == "disk"] == ["this can't be checked: no disk"]


def test_exit_code_and_json(shop: Shop) -> None:
    for config, code in (({}, 0), ({"env_file": "gone"}, 1)):
        shop.configure(**config)
        done = subprocess.run(
            [sys.executable, "-m", "slot_machine", "doctor", "--json"], capture_output=True, text=True, check=False
        )
        assert done.returncode == code, done.stdout
        known = json.loads(done.stdout)
        assert known["success"] is (code == 0)
        assert {"check", "level", "text", "hint"} == known["checks"][0].keys()


def test_lines_fit_a_terminal_and_are_whole_in_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [Finding("env_file", "wrong", "a word " * 30, "do that")]
    assert len(list(examine.lines(found))) == 2
    assert all("\n" not in line for line in examine.lines(found))
    terminal, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as out:
        monkeypatch.setattr(sys, "stdout", out)
        monkeypatch.setenv("COLUMNS", "80")
        lines = "\n".join(examine.lines(found)).splitlines()
        monkeypatch.undo()
    os.close(terminal)
    assert max(map(len, lines)) <= 80
    assert len(lines) > 3


def test_standard_path_need_not_exist(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(shop, monkeypatch, path=":".join(place.STANDARD_PATH))
    monkeypatch.setattr(place, "STANDARD_PATH", (*place.STANDARD_PATH, "/gone"))
    assert shop.only(unit.unit)[0] == "ok"


def test_port_that_an_outgoing_connection_may_take(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "is_free", lambda _: True)
    monkeypatch.setattr(ports, "ephemeral_start", lambda: 30_000)
    shop.configure(port=3000, api_port=40_000)

    low, high = shop.found(app.used_ports)

    assert (low.level, high.level) == ("ok", "note")
    assert "choose one below 30000" in high.hint
