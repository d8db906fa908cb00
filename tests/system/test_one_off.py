"""`slot-machine run`: a command in the live version's folder, in the caller's terminal."""

import os
import signal
import subprocess
from pathlib import Path
from typing import Any, cast

from spec.orchestrator import environment
from spec.waiting import wait_until

from tests.processes import alive, kill_daemon
from tests.terminal import on_terminal
from tests.world import Site, live

NEXT_MINUTE_S = 90.0
OF_SHELL = {"PWD", "OLDPWD", "SHLVL", "_"}
OF_ONE_START = {
    "SLOT_MACHINE_RUN",
    "PORT",
    "INTERNAL_PORT",
    "PROCESS",
    "PROCESS_INDEX",
    "SLOT_MACHINE_JOB",
    "SLOT_MACHINE_ATTEMPT",
}


def variables(text: str) -> dict[str, str]:
    found = dict(line.partition("=")[::2] for line in text.splitlines())
    return {name: value for name, value in found.items() if name not in OF_SHELL | OF_ONE_START}


def one_offs(site: Site) -> list[tuple[str, int]]:
    return [(one["program"], one["pid"]) for one in cast(list[Any], site.status()["one_offs"])]


def test_every_command_of_the_app_has_the_same_environment(site: Site) -> None:
    told = site.folder / "told"
    told.mkdir()
    names = ("setup", "build", "release", "app", "worker", "job", "hook")
    tell = {name: f"env > {told}/{name}.new && mv {told}/{name}.new {told}/{name}" for name in names}
    (site.repo / ".env").write_text("SECRET='s e c'\nHOME=/elsewhere\n")
    (site.repo / ".gitignore").write_text(".slot-machine\nslot-machine.json\n.env\n")
    site.commit("v1")
    start = site.config["start_command"]
    config: dict[str, Any] = {
        "setup_command": tell["setup"],
        "build_command": tell["build"],
        "release_command": tell["release"],
        "start_command": f"{tell['app']}; exec {start}",
        "processes": {"worker": f"{tell['worker']}; exec sleep 600"},
        "cron": {"each-minute": {"schedule": "* * * * *", "command": tell["job"]}},
        "hooks": {"deploy_succeeded": tell["hook"]},
        "shared_dirs": ["data"],
    }
    site.start(env_file=".env", **config)
    assert site.post("/deploy", {"commit": "HEAD"}).status == 200
    for name in ("worker", "hook"):
        wait_until(f"the {name} runs", (told / name).exists)
    wait_until("the job runs", (told / "job").exists, limit_s=NEXT_MINUTE_S)

    by_run = site.run("run", "--", "sh", "-c", "env; pwd > pwd; ls -d data")

    assert (by_run.returncode, by_run.stderr) == (0, "")
    *listed, shared = by_run.stdout.splitlines()
    ours = variables("\n".join(listed))
    assert (ours["SECRET"], ours["HOME"], shared) == ("s e c", "/elsewhere", "data")
    for name in ("app", "worker", "release", "job", "hook"):
        assert variables((told / name).read_text()) == ours, name
    for name in ("setup", "build"):
        theirs = variables((told / name).read_text())
        assert ours.items() <= theirs.items(), name
        assert all("cache" in key.lower() for key in theirs.keys() - ours.keys()), name
    tree = os.path.realpath(site.data / "live")
    assert Path(tree, "pwd").read_text() == f"{tree}\n"
    of_worker = site.run("run", "--process-env", "worker", "--", "sh", "-c", "echo $PROCESS.$PROCESS_INDEX")
    assert of_worker.stdout == "worker.1\n"
    of_web = site.run("exec", "--process-env", "web", "--", "sh", "-c", "echo $PORT").stdout
    assert f"PORT={of_web}" in (told / "app").read_text()


def test_its_exit_code_is_that_of_the_command(site: Site) -> None:
    site.start()
    refused = site.run("run", "--", "true")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "error: nothing is live" in refused.stderr
    site.commit("v1")
    assert site.post("/deploy", {"commit": "HEAD"}).status == 200

    codes = [site.run("run", "--", "sh", "-c", script).returncode for script in ("exit 7", "kill -9 $$", "kill $$")]
    missing = site.run("run", "no such")
    no_program = site.run("run", "--", "/etc/passwd")

    assert codes == [7, 128 + signal.SIGKILL, 128 + signal.SIGTERM]
    assert missing.returncode == 127
    assert "hint: give each word alone" in missing.stderr
    assert no_program.returncode == 126
    assert site.run("run", "--previous", "--", "true").returncode == 1
    assert site.run("run", "--process-env", "nope", "--", "true").stderr.startswith("error: ")
    shell = [str(site.orchestrator.binary), "run"]
    assert subprocess.run(shell, cwd=site.repo, env=environment(), input=b"exit 4", check=False).returncode == 4
    reply = site.post("/run", {"program": "env"})
    assert (reply.status, "environment" in reply.body) == (403, False)


def test_the_terminal_is_the_callers(site: Site) -> None:
    live(site)
    script = "stty size; tty; trap 'echo interrupted; exit 9' INT; echo ready; while :; do sleep 0.05; done"

    with on_terminal([site.orchestrator.binary, "run", "sh", "-c", script], site.repo, environment()) as terminal:
        terminal.expect("ready")
        terminal.type("\x03")
        terminal.expect("interrupted")
        assert terminal.exit_code() == 9


def test_a_tree_is_not_overwritten_while_a_command_runs_in_it(site: Site) -> None:
    live(site)
    tree = Path(os.path.realpath(site.data / "live"))
    script = "sleep 600 & echo $! > pid; wait"
    with subprocess.Popen([site.orchestrator.binary, "run", "--", "sh", "-c", script], cwd=site.repo) as client:
        wait_until("it runs", (tree / "pid").exists)
        assert one_offs(site) == [("sh", client.pid)]
        assert site.run("reload").returncode == 0
        kill_daemon(site)
        site.start()
        client.kill()
    assert one_offs(site) == [("sh", client.pid)]
    child = int((tree / "pid").read_text())
    assert alive(child), "the client's end, and the daemon's, are not that of the command"

    for version in ("v2", "v3", "v4"):
        site.commit(version)
        assert site.post("/deploy", {"commit": "HEAD"}).status == 200

    assert (tree / "pid").exists()
    assert "run sh" in " ".join(map(str, site.history()[-1].values()))
    os.kill(child, signal.SIGKILL)
    wait_until("it is forgotten", lambda: not one_offs(site))


def test_it_works_while_a_deploy_runs(site: Site) -> None:
    ask = f"{site.orchestrator.binary} run -- cat behaviour.json"
    live(site, release_command=f"cd {site.repo} && {ask} > of-live || true")
    site.commit("v2")

    reply = site.post("/deploy", {"commit": "HEAD"})

    assert reply.status == 200, reply
    assert '"good"' in (site.repo / "of-live").read_text()
