"""`slot-machine run` by root, for an app of another user."""

import pwd
from collections.abc import Iterator

import pytest
from spec.orchestrator import environment

from tests.another_user import AnothersSite
from tests.terminal import on_terminal
from tests.users import NAMED, OWNER, PYTHON, as_user, give, needs_root, public_folder, python_for_all, run_as
from tests.world import Site, installed, live

pytestmark = needs_root


@pytest.fixture
def nobodys() -> Iterator[AnothersSite]:
    with public_folder() as folder:
        site = AnothersSite(folder, NAMED, pwd.getpwnam(NAMED).pw_uid)
        yield site
        site.close()


def test_the_user_gets_a_terminal_that_is_not_roots(nobodys: AnothersSite) -> None:
    site = nobodys
    live(site)
    command = [str(site.orchestrator.binary), "run", "--", "sh"]
    with on_terminal(command, site.repo, environment() | {"TERM": "vt100", "SECRET": "root's"}) as terminal:
        terminal.resize(33, 77)
        terminal.type("stty size; id -un; echo $TERM.$SECRET.; ps -o tty= -p $$\r")
        terminal.expect("33 77\r\nnobody\r\nvt100..\r\npts/")
        terminal.resize(44, 99)
        terminal.type("stty size; sh -c 'echo sle''eps; exec sleep 600'\r")
        terminal.expect("44 99\r\nsleeps")
        terminal.type("\x03")
        terminal.expect("^C\r\n$ ")
        terminal.type("echo code $?; : > written; exit 5\r")
        terminal.expect("code 130")
        assert terminal.exit_code() == 5
    tree = site.data / "live"
    assert (tree / "written").stat().st_uid == site.uid


def test_no_process_of_the_user_has_roots_terminal(nobodys: AnothersSite) -> None:
    site = nobodys
    live(site)
    script = "ls -l /proc/$$/fd; ps -o tty= -p $$; echo listed; exec cat"
    with on_terminal([site.orchestrator.binary, "run", "--", "sh", "-c", script], site.repo, environment()) as terminal:
        terminal.expect("listed")
        assert "/dev/pts/" in terminal.before
        assert f"{terminal.name}\r" not in terminal.before
        assert f"{terminal.name.removeprefix('/dev/')} " not in terminal.before
        terminal.type("echoed\r\x04")
        terminal.expect("echoed\r\nechoed")
        assert terminal.exit_code() == 0


def test_without_a_terminal_streams_and_signals_pass(nobodys: AnothersSite) -> None:
    site = nobodys
    live(site)

    done = site.run("run", "--", "sh", "-c", "id -u; echo to-stderr >&2; kill -INT $$")

    assert (done.returncode, done.stdout, done.stderr) == (130, f"{site.uid}\n", "to-stderr\n")


def test_root_runs_nothing_of_another_users_daemon_as_root() -> None:
    with public_folder() as folder:
        site = Site(installed(), folder)
        site.commit("v1")
        site.prefix = (*as_user(OWNER), *python_for_all())
        site.config["start_command"] = f"{PYTHON} -IS app.py"
        for path in (folder, site.repo):
            give(path, OWNER)
        try:
            site.start()
            assert (
                run_as(OWNER, *python_for_all(), str(site.orchestrator.binary), "deploy", cwd=site.repo).returncode == 0
            )

            done = site.run("run", "--", "sh", "-c", "id -u; id -g; id -G")

            assert (done.returncode, done.stdout) == (0, f"{OWNER}\n{OWNER}\n{OWNER}\n"), done
        finally:
            site.close()
