"""The registry of running daemons. What stands there may have been written by anybody."""

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from slot_machine.host import registry
from slot_machine.host.process import proc
from slot_machine.host.process.proc import Identity
from slot_machine.host.registry import Entry


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder in which daemons of this user publish."""
    path = tmp_path / "registry"
    monkeypatch.setattr(registry, "own_folders", lambda: [str(path)])
    monkeypatch.setattr(registry, "_all_folders", lambda: [(str(path), os.geteuid())])
    return path


def entry(data: str, name: str = "shop", process: Identity | None = None) -> Entry:
    return Entry(
        name=name,
        data=data,
        repo="/srv/shop",
        files=("/srv/shop/slot-machine.json",),
        port=3000,
        api_port=9100,
        version="1",
        uid=os.geteuid(),
        process=process or proc.identify(os.getpid()),
    )


def file_of(folder: Path) -> Path:
    (found,) = folder.iterdir()
    return found


def test_each_data_folder_has_an_entry_whatever_its_name(folder: Path) -> None:
    published = [entry("/b"), entry("/a"), entry("/c", "blog")]
    for each in published:
        registry.publish(each)
        registry.publish(each)

    assert registry.running() == [published[2], published[1], published[0]]
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_entry_that_was_removed_is_published_again(folder: Path) -> None:
    registry.publish(entry("/a"))
    file_of(folder).unlink()
    folder.rmdir()

    registry.publish(entry("/a"))

    assert registry.running() == [entry("/a")]


def test_entry_lives_as_long_as_its_process(folder: Path) -> None:
    """A process with the same pid that began at another time, or before a reboot, is another one."""
    us = proc.identify(os.getpid())
    others = [
        msgspec.structs.replace(us, start_ticks=us.start_ticks - 1),
        msgspec.structs.replace(us, boot_id="another"),
        Identity(4_194_305, 1, us.boot_id),
    ]
    for number, other in enumerate(others):
        registry.publish(entry(f"/{number}", process=other))
    assert registry.running() == []

    registry.publish(entry("/a"))
    registry.forget_dead(os.geteuid())

    assert file_of(folder)
    assert registry.running() == [entry("/a")]


HIDDEN = "mount -t proc -o hidepid=2 proc /proc && exec setpriv"
FEWER = ["--regid=65534", "--clear-groups", "--bounding-set=-sys_ptrace", "--inh-caps=-sys_ptrace"]
FORGET = """
import os, sys
from slot_machine.host import registry
registry.own_folders = lambda: [sys.argv[1]]
registry.forget_dead(os.geteuid())
print(*(entry.data for entry in registry.running()))
"""


@pytest.mark.skipif(
    bool(os.geteuid()) or not shutil.which("unshare") or not shutil.which("setpriv"),
    reason="needs root, unshare(1) and setpriv(1)",
)
def test_daemon_of_fewer_rights_keeps_the_entries_of_those_that_it_cannot_see(folder: Path) -> None:
    """With `hidepid` and without CAP_SYS_PTRACE, root does not see processes that have that capability."""
    gone = subprocess.Popen(["true"])
    ended = Identity(gone.pid, 1, proc.boot_id())
    gone.wait()
    registry.publish(entry("/ended", process=ended))
    registry.publish(entry("/seen"))

    command = ["unshare", "--mount", "sh", "-c", f'{HIDDEN} "$@"', "sh", *FEWER, sys.executable, "-c", FORGET]
    done = subprocess.run([*command, str(folder)], capture_output=True, text=True, check=True)

    assert done.stdout == "/seen\n"
    assert registry.running() == [entry("/seen")]
    assert file_of(folder)


@pytest.mark.parametrize("pid", [0, -1, -(2**40), 4_194_305, 2**40])
def test_no_process_has_such_a_pid(folder: Path, pid: int) -> None:
    registry.publish(entry("/a", process=Identity(pid, 1, proc.boot_id())))

    assert registry.running() == []
    registry.forget_dead(os.geteuid())
    assert not list(folder.iterdir())


def test_entry_of_a_hidden_process_goes_when_nobody_has_its_pid(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer: list[type[OSError] | None] = [None]

    def kill(pid: int, signum: int) -> None:
        assert (pid, signum) == (us.pid, 0)
        if failure := answer[0]:
            raise failure

    us = proc.identify(os.getpid())
    registry.publish(entry("/a"))
    monkeypatch.setattr(proc, "stat", lambda _: None)
    monkeypatch.setattr(os, "kill", kill)
    for says in (None, PermissionError):
        answer[0] = says
        registry.forget_dead(os.geteuid())
        assert registry.running() == [entry("/a", process=us)]
    answer[0] = ProcessLookupError
    assert registry.running() == []
    registry.forget_dead(os.geteuid())
    assert not list(folder.iterdir())


def test_daemon_withdraws_its_own_entry_only(folder: Path) -> None:
    registry.publish(entry("/a"))
    earlier = msgspec.structs.replace(proc.identify(os.getpid()), start_ticks=1)

    registry.withdraw(entry("/a", process=earlier))
    assert registry.running() == [entry("/a")]

    registry.withdraw(entry("/a"))
    assert not list(folder.iterdir())


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[]", b"\xff", b"{}", b"x" * 70_000, b'{"x":' + b"[" * 30_000 + b"]" * 30_000 + b"}"]
)
def test_what_is_no_entry_is_ignored(folder: Path, text: bytes) -> None:
    registry.publish(entry("/a"))
    file_of(folder).write_bytes(text)

    assert registry.running() == []
    registry.publish(entry("/a"))
    assert registry.running() == [entry("/a")]


def test_entry_names_a_configuration(folder: Path) -> None:
    registry.publish(msgspec.structs.replace(entry("/a"), files=()))

    assert file_of(folder)
    assert registry.running() == []


def test_name_stays_on_its_line(folder: Path) -> None:
    registry.publish(entry("/a", "shop\nblog"))

    assert file_of(folder)
    assert registry.running() == []


def test_no_path_that_another_user_wrote_hides_other_daemons(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    us = os.geteuid()
    monkeypatch.setattr(registry, "_all_folders", lambda: [(str(folder), us)])
    registry.publish(entry(str(tmp_path)))
    registry.publish(entry("/nul\0"))
    monkeypatch.setattr(os, "geteuid", lambda: us + 1)

    assert registry.running() == [msgspec.structs.replace(entry(str(tmp_path)), uid=us)]


def test_no_file_is_read_that_is_too_large(folder: Path) -> None:
    registry.publish(entry("/a"))
    path = file_of(folder)
    path.write_bytes(path.read_bytes() + b" " * registry.LARGEST_BYTES)

    assert registry.running() == []


def test_no_link_is_followed_and_nothing_waits(folder: Path, tmp_path: Path) -> None:
    registry.publish(entry("/a"))
    path = file_of(folder)
    path.rename(tmp_path / "real")
    path.symlink_to(tmp_path / "real")
    assert registry.running() == []
    path.unlink()
    os.mkfifo(path)
    assert registry.running() == []
    path.unlink()
    path.hardlink_to(tmp_path / "real")
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    assert registry.running() == []
    with pytest.raises(OSError, match="Not a directory"):
        registry.publish(entry("/b"))


def test_entry_stands_under_the_name_of_its_data_folder(folder: Path) -> None:
    """Otherwise one daemon could be there many times."""
    registry.publish(entry("/a"))
    file_of(folder).rename(folder / "another.json")

    assert registry.running() == []


def test_folder_that_others_may_write_to_is_not_used(folder: Path) -> None:
    registry.publish(entry("/a"))
    folder.chmod(0o770)

    assert registry.running() == []
    with pytest.raises(PermissionError, match="is not for user"):
        registry.publish(entry("/a"))


def test_next_folder_is_used_if_the_first_one_is_somebody_elses(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.mkdir(0o777)
    folder.chmod(0o777)
    second = tmp_path / "second"
    monkeypatch.setattr(registry, "own_folders", lambda: [str(folder), str(second)])

    registry.publish(entry("/a"))

    assert not list(folder.iterdir())
    assert file_of(second)


def test_users_have_folders_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """A service's user has no XDG_RUNTIME_DIR, and sudo may leave it with that of another user."""
    monkeypatch.setattr(os, "geteuid", lambda: 7)
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/given")
    assert registry.own_folders() == ["/given/slot-machine", "/run/user/7/slot-machine", "/tmp/slot-machine-7"]
    monkeypatch.setenv("XDG_RUNTIME_DIR", "relative")
    assert registry.own_folders() == ["/run/user/7/slot-machine", "/tmp/slot-machine-7"]
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert registry.own_folders() == ["/run/slot-machine"]
