"""`--host` over a real ssh and sshd: a laptop, a server, and what lies between them."""

import contextlib
import json
import os
import shlex
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from spec.waiting import wait_until

from tests import sshd as servers
from tests.sshd import Sshd
from tests.terminal import on_terminal
from tests.world import Site

pytestmark = pytest.mark.skipif(bool(servers.obstacle()), reason=servers.obstacle())


@pytest.fixture
def laptop(site: Site) -> Path:
    """A clone of the server's repository, with a commit that the server lacks."""
    site.commit("one")
    site.start()
    site.git("clone", "--quiet", str(site.repo), str(site.folder / "laptop"))
    return site.folder / "laptop"


def commit(site: Site, laptop: Path, version: str, **behaviour: object) -> str:
    """On the laptop."""
    behaviour = {"version": version} | behaviour
    (laptop / "behaviour.json").write_text(json.dumps(behaviour))
    site.git("-C", str(laptop), "commit", "--quiet", "--all", "--message", version)
    return site.git("-C", str(laptop), "rev-parse", "HEAD")


def test_deploy_pushes_what_the_server_lacks(site: Site, laptop: Path, sshd: Sshd, server: tuple[str, ...]) -> None:
    before = site.git("rev-parse", "main")
    two = commit(site, laptop, "two")

    done = sshd.run(*server, "deploy", "--message", "it's new", cwd=laptop)
    assert (done.returncode, done.stdout) == (0, f"deployed {two} to slot a\n"), done.stderr
    assert site.serving() == "two"
    assert site.git("rev-parse", "main") == before
    assert site.git("for-each-ref", "--format=%(refname)", "refs/slot-machine-pushed").endswith(two)
    (attempt,) = site.history()
    assert (attempt["ref"], attempt["message"], attempt["result"]) == ("main", "it's new", "succeeded")

    again = sshd.run(*server, "deploy", "--json", cwd=laptop)
    assert json.loads(again.stdout)["already_live"] is True
    status = sshd.run(*server, "status", "--json", cwd=laptop)
    assert json.loads(status.stdout)["live_commit"] == two
    assert sshd.logins() == 1


def test_bad_version_fails_as_it_does_on_the_server(
    site: Site, laptop: Path, sshd: Sshd, server: tuple[str, ...]
) -> None:
    commit(site, laptop, "good")
    assert sshd.run(*server, "deploy", cwd=laptop).returncode == 0
    commit(site, laptop, "bad", health=500)

    done = sshd.run(*server, "deploy", cwd=laptop)
    assert done.returncode == 1
    assert "error: health: " in done.stderr
    assert site.serving() == "good"
    assert sshd.run(*server, "rollback", cwd=laptop).returncode == 1


def test_streams_and_exit_code_go_through(site: Site, laptop: Path, sshd: Sshd, server: tuple[str, ...]) -> None:
    commit(site, laptop, "one more")
    assert sshd.run(*server, "deploy", cwd=laptop).returncode == 0
    words = ("it's", 'a "b"', "back\\slash", "$HOME", "")

    told = sshd.run(*server, "run", "--", "printf", "[%s]", *words, cwd=laptop)
    assert told.stdout == "".join(f"[{word}]" for word in words)
    piped = sshd.run(*server, "run", "--", "sh", "-c", "cat; echo remark >&2; exit 7", cwd=laptop, given="input")
    assert (piped.returncode, piped.stdout, piped.stderr) == (7, "input", "remark\n")
    assert sshd.run(*server, "run", "--", "sh", "-c", "exit 255", cwd=laptop).returncode == 255
    assert sshd.run(*server, "run", "nothing-like-it", cwd=laptop).returncode == 127
    listed = sshd.run("--host", "server", "list", cwd=laptop)
    assert (listed.returncode, str(site.port) in listed.stdout) == (0, True)


def test_no_such_app(laptop: Path, sshd: Sshd) -> None:
    done = sshd.run("--host", "server", "-a", "no-such-app", "deploy", cwd=laptop)

    assert done.returncode == 1
    assert "no running daemon is called no-such-app" in done.stderr


def test_hosts_that_ssh_does_not_reach(tmp_path: Path, sshd: Sshd) -> None:
    refused = sshd.run("--host", "refused", "status", cwd=tmp_path)
    assert (refused.returncode, "no ssh server listens there" in refused.stderr) == (1, True), refused.stderr
    stranger = sshd.run("--host", "stranger", "status", cwd=tmp_path)
    assert (stranger.returncode, "connect once by `ssh stranger`" in stranger.stderr) == (1, True), stranger.stderr
    assert not any("stranger" in line for line in (sshd.folder / "known_hosts").read_text().splitlines())
    sshd.know((sshd.folder / "key.pub").read_text())
    changed = sshd.run("--host", "server", "status", cwd=tmp_path)
    assert (changed.returncode, "find out why before you go on" in changed.stderr) == (1, True), changed.stderr
    sshd.know((sshd.folder / "host_key.pub").read_text())
    (sshd.folder / "authorized_keys").write_text("")
    denied = sshd.run("--host", "server", "status", cwd=tmp_path)
    assert (denied.returncode, "it takes none of your keys" in denied.stderr) == (1, True), denied.stderr


def test_server_behind_a_jump_host(site: Site, laptop: Path, sshd: Sshd) -> None:
    two = commit(site, laptop, "two")

    done = sshd.run("--host", "far", "-a", str(site.data), "deploy", cwd=laptop)
    assert (done.returncode, done.stdout) == (0, f"deployed {two} to slot a\n"), done.stderr
    assert sshd.logins() == 2


def test_terminal_and_interrupt(site: Site, laptop: Path, sshd: Sshd, server: tuple[str, ...]) -> None:
    commit(site, laptop, "one more")
    assert sshd.run(*server, "deploy", cwd=laptop).returncode == 0
    binary = site.orchestrator.binary
    waits = ("sh", "-c", "test -t 0 && test -t 1 && echo on a terminal; exec sleep 600")

    with on_terminal([binary, *server, "run", "--", *waits], laptop, sshd.environment) as terminal:
        terminal.expect("on a terminal")
        terminal.type("\x03")
        assert terminal.exit_code() == 130
    with on_terminal([binary, *server, "logs", "-f"], laptop, sshd.environment) as terminal:
        terminal.expect("is live --")
        terminal.type("\x03")
        assert terminal.exit_code() == 130


def test_deploy_that_waits_loses_its_place_with_its_client(site: Site, sshd: Sshd, server: tuple[str, ...]) -> None:
    held = site.folder / "held"
    held.touch()
    given_up = site.commit("given up")
    site.commit("slow", {"setup.sh": f"while test -e {held}; do sleep 0.05; done"})
    site.start(setup_command="test ! -e setup.sh || sh setup.sh")
    with ThreadPoolExecutor() as pool:
        busy = pool.submit(site.post, "/deploy", {"commit": "HEAD"})
        wait_until("it is in its setup", lambda: site.status()["running"] == "setup" or busy.done())
        waiting = subprocess.Popen(
            [site.orchestrator.binary, *server, "deploy", "--wait", "--json", "--stream", given_up],
            cwd=site.folder,
            env=sshd.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        assert waiting.stdout
        assert json.loads(waiting.stdout.readline())["stage"] == "wait"
        os.killpg(waiting.pid, signal.SIGINT)  # As Ctrl-C on a terminal does.
        _, said = waiting.communicate(timeout=20)
        assert (waiting.returncode, b"interrupted" in said) == (130, True)
        wait_until("it has ended on the server", lambda: not working_for(given_up))
        held.unlink()
        assert busy.result().status == 200
    assert site.post("/deploy", {"commit": "HEAD"}).status == 200
    assert given_up not in str(site.history())


def working_for(commit: str) -> list[str]:
    """Processes of slot-machine with that word."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = path.read_bytes().decode(errors="replace").split("\0")
            if commit in words and "deploy" in words:
                found.append(" ".join(words))
    return found


def test_forced_command_without_a_shell_understands_all_words(
    site: Site, laptop: Path, sshd: Sshd, server: tuple[str, ...]
) -> None:
    """As a restricted key has it: SSH_ORIGINAL_COMMAND is split, and no shell runs it."""
    forced = sshd.folder / "forced"
    forced.write_text(
        f"#!{sys.executable}\nimport os, shlex, sys\nwords = shlex.split(os.environ['SSH_ORIGINAL_COMMAND'])\n"
        "assert words[0] in ('slot-machine', 'git-receive-pack'), words\nos.execvp(words[0], words)\n"
    )
    forced.chmod(0o755)
    sshd.allow(f'restrict,command="{forced}"')
    two = commit(site, laptop, "two")

    done = sshd.run(*server, "deploy", "--message", "back\\slash's", "--by=--force", cwd=laptop)
    assert (done.returncode, done.stdout) == (0, f"deployed {two} to slot a\n"), done.stderr
    (attempt,) = site.history()
    assert (attempt["who"], attempt["message"]) == ("--force", "back\\slash's")


def test_restricted_key_may_deploy_and_its_name_is_in_the_history(
    site: Site, laptop: Path, sshd: Sshd, server: tuple[str, ...]
) -> None:
    session = ("key-session", "--config", site.repo / "slot-machine.json", "--repo", site.repo, "ada")
    command = shlex.join(map(str, (site.orchestrator.binary, *session)))
    sshd.allow(f'restrict,command="{command}"')
    site.git("config", "transfer.hideRefs", "refs/slot-machine")
    two = commit(site, laptop, "two")

    done = sshd.run("--host", "server", "deploy", "--by", "eve", cwd=laptop)
    assert (done.returncode, done.stdout) == (0, f"deployed {two} to slot a\n"), done.stderr
    (attempt,) = site.history()
    assert (attempt["who"], attempt["ref"]) == ("ada", "main")
    refused = sshd.run(*server, "run", "--", "id", cwd=laptop)
    assert (refused.returncode, "this key" in refused.stderr) == (1, True), refused.stderr
