"""A daemon of root's whose app is another user's."""

import json
import os
import pwd
import shlex
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from spec.ports import is_free
from spec.waiting import wait_until

from tests.another_user import ATTACK, DENIED, AnothersSite, targets
from tests.processes import alive, kill
from tests.users import NAMED, NUMBERED, PYTHON, give, needs_root, public_folder

OF_USER = ("HOME", "USER", "LOGNAME", "SHELL", "PATH", "LANG", "TZ", "LC_TIME", "LC_ALL", "LC_CTYPE", "PWD")
OF_START = (
    "PORT",
    "INTERNAL_PORT",
    "SLOT_MACHINE",
    "SLOT_MACHINE_SLOT",
    "SLOT_MACHINE_COMMIT",
    "SLOT_MACHINE_RUN",
    "SLOT_MACHINE_SHARED",
    "SLOT_MACHINE_LIVE_FILE",
)

pytestmark = needs_root

TELL = """#!/bin/sh
grep -E '^(Uid|Gid|Groups):' /proc/self/status
umask
env | sort
"""


@pytest.fixture
def nobodys() -> Iterator[AnothersSite]:
    yield from made(NAMED)


def made(user: str) -> Iterator[AnothersSite]:
    with public_folder() as folder:
        site = AnothersSite(folder, user, int(user) if user.isdecimal() else pwd.getpwnam(user).pw_uid)
        (folder / "tell").write_text(TELL)
        (folder / "tell").chmod(0o755)
        yield site
        site.close()


def deploy(site: AnothersSite, commit: str = "HEAD") -> dict[str, object]:
    reply = site.post("/deploy", {"commit": commit})
    assert reply.status == 200, reply
    return reply.body


@pytest.mark.parametrize(("user", "options"), [(NAMED, ()), (NUMBERED, ("--no-proxy",))])
def test_setup_app_and_git_run_as_the_user(
    user: str, options: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    with contextmanager(made)(user) as site:
        _check_whose_commands_are(site, options, monkeypatch)


def _check_whose_commands_are(site: AnothersSite, options: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "the daemon's")
    monkeypatch.setenv("LC_TIME", "C.UTF-8")
    tell = site.folder / "tell"
    site.git("config", "filter.tell.smudge", f"{tell}; cat > /dev/null")
    site.commit(
        "good", {".gitattributes": "by-git filter=tell\n", "by-git": "text\n"}, child=["sh", "-c", f"{tell} > by-app"]
    )
    (site.repo / ".env").write_text("FROM_FILE=yes\n")
    (site.repo / ".env").chmod(0o600)
    os.chown(site.repo / ".env", 0, 0)
    site.start(*options, setup_command=f"{tell} > by-setup", env_file=".env")
    deploy(site)

    wait_until("the app has told", lambda: "USER=" in (site.data / "live/by-app").read_text())
    entry = pwd.getpwuid(site.uid) if site.config["user"] == NAMED else None
    home, name = (entry.pw_dir, entry.pw_name) if entry else ("/", NUMBERED)
    groups = os.getgrouplist(name, site.uid) if entry else []
    for who in ("by-git", "by-setup", "by-app"):
        told = (site.data / "live" / who).read_text().split("\n")
        assert told[0].split() == ["Uid:", *[str(site.uid)] * 4]
        assert told[1].split() == ["Gid:", *[str(site.uid)] * 4]
        assert told[2].split() == ["Groups:", *map(str, groups)]
        assert told[3] == "0022"
        env = dict(line.split("=", 1) for line in told[4:] if line)
        assert (env["HOME"], env["USER"], env["LOGNAME"]) == (home, name, name)
        assert env["PATH"].endswith(os.environ["PATH"])
        assert "SECRET" not in env
        if who != "by-git":
            assert env["LC_TIME"] == "C.UTF-8"
            assert env["FROM_FILE"] == "yes"
    assert set(env) <= {*OF_USER, *OF_START, "FROM_FILE"}


def test_data_folder_is_roots_and_only_trees_kept_and_shared_are_the_users(nobodys: AnothersSite) -> None:
    site = nobodys
    site.commit("one")
    site.start(access_log=str(site.data / "access.log"))
    deploy(site)
    site.get()
    wait_until("the request is logged", (site.data / "access.log").exists)

    found = {path.name: path.lstat() for path in site.data.iterdir()}
    theirs = {name for name, status in found.items() if status.st_uid == site.uid}
    assert theirs == {"tree-1", "kept", "shared", "assets"}
    assert all(status.st_uid == 0 for name, status in found.items() if name not in theirs)
    assert stat.S_IMODE(site.data.stat().st_mode) == 0o711
    modes = {name: stat.S_IMODE(status.st_mode) for name, status in found.items() if not stat.S_ISLNK(status.st_mode)}
    assert (modes.pop("tree-1"), modes.pop("shared"), modes.pop("kept"), modes.pop("assets")) == (
        0o755,
        0o755,
        0o700,
        0o700,
    )
    assert modes.pop("live-slot") == 0o644
    assert set(modes.values()) == {0o600}
    assert {"state.db", "slot-a.log", "daemon.lock", "proxy-0.sock", "access.log"} <= set(modes)


@pytest.mark.parametrize("options", [(), ("--no-proxy",)])
def test_app_reaches_nothing_of_its_daemon(nobodys: AnothersSite, options: tuple[str, ...]) -> None:
    site = nobodys
    site.commit("one")
    daemon = site.start(*options).process.pid
    deploy(site)
    children = Path(f"/proc/{daemon}/task/{daemon}/children").read_text().split()
    pids = [daemon, *(int(pid) for pid in children if Path(f"/proc/{pid}").stat().st_uid == 0)]
    assert len(pids) == 2, "the data plane, or the keeper"
    attack = f"{PYTHON} attack.py {shlex.quote(json.dumps(targets(site, pids)))} > tried.new && mv tried.new tried.json"
    site.commit("evil", {"attack.py": ATTACK}, child=["sh", "-c", attack])
    deploy(site)

    result = site.data / "live/tried.json"
    wait_until("the app has tried", result.exists)
    tried = json.loads(result.read_text())
    allowed = {what for what, how in tried.items() if how not in DENIED}
    assert allowed == {"read live-slot"}
    assert site.serving() == "evil"


def test_assets_of_earlier_versions_are_the_users(nobodys: AnothersSite) -> None:
    site = nobodys
    build = "rm -rf dist && mkdir dist && cp app.js dist/app-$(md5sum < app.js | cut -c 1-8).js"
    site.start(asset_dirs=["dist"], build_command=build)
    for version in ("one", "two"):
        site.commit(version, {"app.js": version})
        deploy(site)

    found = [path.stat() for path in (site.data / "live/dist").iterdir()]
    assert len(found) == 2
    assert {status.st_uid for status in found} == {site.uid}
    (link,) = (status for status in found if status.st_nlink > 1)
    assert {path.stat().st_ino for path in (site.data / "assets").rglob("*.js")} == {link.st_ino}


def test_rollback_restart_and_kept_files_work(nobodys: AnothersSite) -> None:
    site = nobodys
    site.commit("one", {"sub/tracked": "text"})
    site.port = next(port for port in range(700, 1000) if is_free(port))
    site.start(drain_timeout_ms=500, port=site.port)
    deploy(site)
    give_file(site, site.data / "tree-1/sub/written", "by the app")
    site.commit("two")
    deploy(site)
    site.commit("three")
    deploy(site)
    kept = list((site.data / "kept").glob("*/sub/written"))
    assert [path.read_text() for path in kept] == ["by the app"]
    assert kept[0].stat().st_uid == site.uid
    site.commit("four")
    deploy(site)
    assert site.post("/rollback").status == 200
    assert site.serving() == "three"

    pid = int(site.get("/pid")[1])
    kill(pid)
    wait_until("the app is back", lambda: not alive(pid) and site.status()["healthy"] is True)
    site.daemons[-1].process.kill()
    site.daemons[-1].process.wait()
    site.start()
    assert site.serving() == "three"
    assert site.run("reload").returncode == 0
    assert site.serving() == "three"
    reloaded = Path(f"/proc/{site.status()['pid']}/status").read_text()
    assert f"Uid:\t{site.uid}\t" in reloaded


def give_file(site: AnothersSite, path: Path, text: str) -> None:
    path.write_text(text)
    os.chown(path, site.uid, site.uid)


def test_folders_change_their_owner_with_user_and_back(nobodys: AnothersSite) -> None:
    site = nobodys
    os.chown(site.folder, 0, 0)
    give(site.repo, 0)
    user = site.config.pop("user")
    site.uid = 0
    site.commit("one", {"sub/deep/file": "text"})
    site.start()
    deploy(site)
    secret = site.folder / "secret"
    secret.write_text("root's")
    secret.chmod(0o600)
    tree = site.data / "tree-1"
    (tree / "link").symlink_to(secret)
    os.link(secret, tree / "second name")
    site.daemons[-1].stop()
    site.uid = pwd.getpwnam(NAMED).pw_uid
    give(site.repo, site.uid)

    site.start(user=user)
    assert site.serving() == "one"
    owners = {path.name: path.lstat().st_uid for path in (tree, *tree.rglob("*")) if "pycache" not in path.name}
    assert owners.pop("second name") == 0
    assert set(owners.values()) == {site.uid}
    assert secret.stat().st_uid == 0
    assert f"Uid:\t{site.uid}\t" in Path(f"/proc/{site.status()['pid']}/status").read_text()
    site.daemons[-1].stop()

    del site.config["user"]
    give(site.repo, 0)
    site.start()
    assert site.serving() == "one"
    assert {path.lstat().st_uid for path in tree.rglob("*")} == {0}
    assert stat.S_IMODE(site.data.stat().st_mode) == 0o700


def test_hostile_settings_of_the_repository_never_run_as_root(nobodys: AnothersSite) -> None:
    site = nobodys
    marks = site.folder / "marks"
    marks.mkdir()
    marks.chmod(0o1777)
    mark = f"sh -c 'touch {marks}/$(id -u)-$$; cat' #"
    site.commit("one", {".gitattributes": "* filter=mark diff=mark\n", "file": "text"})
    for key in ("core.fsmonitor", "filter.mark.smudge", "filter.mark.clean", "diff.mark.textconv", "diff.external"):
        site.git("config", key, mark)
    hooks = site.repo / ".git/hooks"
    for hook in ("post-checkout", "reference-transaction", "post-index-change"):
        (hooks / hook).write_text(f"#!/bin/sh\ntouch {marks}/$(id -u)-hook\n")
        (hooks / hook).chmod(0o755)
    give(site.repo, site.uid)
    site.start()
    assert site.run("deploy").returncode == 0
    site.commit("two")
    for path in marks.glob("*-hook"):
        path.unlink()
    assert site.run("deploy").returncode == 0
    assert site.run("rollback").returncode == 0
    assert site.run("deploy", "HEAD").returncode == 0
    sudo = {"SUDO_UID": str(site.uid), "SUDO_USER": NAMED}
    os.environ |= sudo
    try:
        assert site.run("deploy").returncode == 0
    finally:
        for name in sudo:
            del os.environ[name]

    assert {path.stat().st_uid for path in marks.iterdir()} == {site.uid}
    assert not list(marks.glob("*-hook"))


@pytest.mark.parametrize("case", ["repository", "refs", "access_log", "access_log in memory"])
def test_what_the_user_cannot_use_or_could_exchange_is_refused(nobodys: AnothersSite, case: str) -> None:
    site = nobodys
    site.commit("one")
    git_dir = site.repo / ".git"
    match case:
        case "repository":
            os.chown(site.repo, 0, 0)
            said = f"hint: git runs as {NAMED}, so give it the repository: `chown -R {NAMED}:{site.uid} {site.repo}`"
        case "refs":
            os.chown(git_dir / "refs", 0, 0)
            chown = f"`chown -R {NAMED}:{site.uid} {git_dir}`"
            said = f"{NAMED} may not write to {git_dir}/refs\nhint: give it to that user: {chown}"
        case "access_log in memory":
            log = f"/dev/shm/slot-machine-{os.getpid()}.log"
            site.config["access_log"] = log
            said = f"{NAMED} can lead access_log {log} elsewhere: /dev/shm is writable for {NAMED}"
        case _:
            site.config["access_log"] = "access.log"
            said = f"{NAMED} can lead access_log {site.repo}/access.log elsewhere: {site.repo} is writable for {NAMED}"
    daemon = site.launch()
    assert daemon.process.wait(20) == 1
    assert said in daemon.log.read_text()


def test_configuration_that_the_user_can_change_is_warned_of(nobodys: AnothersSite) -> None:
    site = nobodys
    site.commit("one")
    site.start()
    warning = f"{NAMED} can change {site.repo}/slot-machine.json"
    assert warning in site.daemons[-1].log.read_text()
    site.daemons[-1].stop()
    config = site.folder / "shop.json"
    config.write_text(json.dumps(site.config))
    site.start("--config", str(config), "--repo", str(site.repo))
    assert "WARNING" not in site.daemons[-1].log.read_text()


def test_nothing_of_a_job_runs_as_root(nobodys: AnothersSite) -> None:
    site, command = nobodys, f"{nobodys.folder}/tell > by-job; echo $(id -u) `id -u` > ids"
    config = {"start_command": f"{PYTHON} -IS app.py", "cron": {"job": {"schedule": "* * * * *", "command": command}}}
    site.commit("good", {"app.json": json.dumps(config)})
    site.start(app_config="app.json")
    deploy(site)

    ids = site.data / "live" / "ids"
    wait_until("it has run", lambda: ids.exists() and ids.read_text().endswith("\n"), limit_s=90)
    assert ids.read_text() == f"{site.uid} {site.uid}\n"
    told = (site.data / "live" / "by-job").read_text().split("\n")
    assert told[0].split() == ["Uid:", *[str(site.uid)] * 4]
    (log,) = site.data.glob("slot-a*job.log")
    assert (log.stat().st_uid, stat.S_IMODE(log.stat().st_mode)) == (0, 0o600)
