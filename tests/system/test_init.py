"""`init` writes to no other file than the two that it names, and chooses ports that are free."""

import json
import os
import re
import socket
import subprocess
from pathlib import Path

import pytest
from spec.orchestrator import environment
from spec.ports import free_port

from slot_machine.cli import init
from slot_machine.core.errors import ConfigError
from slot_machine.host import registry
from slot_machine.host.network import ports
from slot_machine.host.process.proc import Identity
from slot_machine.host.registry import Entry
from tests.world import Site

CONFIG, IGNORE = "slot-machine.json", ".gitignore"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path / "project"


def leads_elsewhere(path: Path, kind: str) -> Path:
    """Makes `path` something else than a file of its own, and returns what it leads to."""
    other = path.parent.parent / "other"
    if kind != "dangling":
        other.write_text("precious")
    match kind:
        case "hard link":
            path.hardlink_to(other)
        case "fifo":
            os.mkfifo(path)
        case _:
            path.symlink_to(other)
    return other


@pytest.mark.parametrize("kind", ["symlink", "dangling", "hard link", "fifo"])
@pytest.mark.parametrize("name", [CONFIG, IGNORE])
def test_nothing_is_written_through_a_link(folder: Path, name: str, kind: str) -> None:
    other = leads_elsewhere(folder / name, kind)
    before = os.readlink(folder / name) if (folder / name).is_symlink() else ""

    with pytest.raises(ConfigError, match=f"cannot write {folder / name}: it (is a|has a second name)"):
        init.run(".slot-machine", force=True)

    assert other.read_text() == "precious" if kind != "dangling" else not other.exists()
    assert before == (os.readlink(folder / name) if before else "")
    if name == IGNORE:
        assert not (folder / CONFIG).exists()


def test_config_behind_a_link_is_kept_and_one_that_leads_nowhere_refused(folder: Path) -> None:
    (folder / CONFIG).symlink_to(folder.parent / "other")
    with pytest.raises(ConfigError, match="it is a symlink"):
        init.run(".slot-machine", force=False)
    (folder.parent / "other").write_text("{}")

    init.run(".slot-machine", force=False)

    assert (folder.parent / "other").read_text() == "{}"


def test_gitignore_behind_a_link_will_do_where_nothing_is_to_be_added(folder: Path) -> None:
    leads_elsewhere(folder / IGNORE, "symlink").write_text("/.slot-machine/\n")

    init.run(".slot-machine", force=False)

    assert (folder / CONFIG).exists()


def test_gitignore_of_any_bytes(folder: Path) -> None:
    (folder / IGNORE).write_bytes(b"\xff\r\nnode_modules")

    init.run(".slot-machine", force=False)

    assert (folder / IGNORE).read_bytes() == b"\xff\r\nnode_modules\n.slot-machine\n"


def test_force_keeps_the_mode_and_leaves_nothing_of_the_old_file(folder: Path) -> None:
    (folder / CONFIG).write_text("x" * 10_000)
    (folder / CONFIG).chmod(0o600)

    init.run(".slot-machine", force=True)

    assert "internal_port" not in json.loads((folder / CONFIG).read_text())
    assert (folder / CONFIG).stat().st_mode & 0o777 == 0o600


def test_ports_that_are_in_use_are_not_chosen(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ports, "is_free", lambda port: port not in (3000, 3001, 9100))

    init.run(".slot-machine", force=False)

    written = json.loads((folder / CONFIG).read_text())
    assert (written["port"], written["api_port"]) == (3002, 9101)
    assert "internal_port" not in written
    said = capsys.readouterr().err
    assert "port is 3002, as 3000 is in use" in said
    assert "api_port is 9101, as 9100 is in use" in said


def commit(folder: Path, *names: str) -> None:
    for args in (["init", "--quiet"], ["add", "--force", *names], ["commit", "--quiet", "--message", "files"]):
        subprocess.run(["git", *args], cwd=folder, env=environment(), check=True)


def test_dry_run_prints_the_file_and_writes_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "app.py").write_text("app = Flask(__name__)")
    (folder / "requirements.txt").write_text("flask\ngunicorn")

    init.run(".slot-machine", force=False, dry=True)

    printed = capsys.readouterr()
    assert printed.out.endswith("\n}\n")
    assert json.loads(printed.out)["start_command"] == ".venv/bin/gunicorn app:app --bind 127.0.0.1:$PORT"
    assert "recognised: pip (requirements.txt), Flask (app.py)" in printed.err
    assert "guessed: health_endpoint is /" in printed.err
    assert {path.name for path in folder.iterdir()} == {"app.py", "requirements.txt"}


def test_json_says_what_was_found_and_written(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "index.html").touch()

    init.run(".slot-machine", force=False, as_json=True)
    found = json.loads(capsys.readouterr().out)
    init.run(".slot-machine", force=False, as_json=True)
    again = json.loads(capsys.readouterr().out)

    assert found["recognised"] == [{"what": "files only", "file": "index.html"}]
    assert found["config"] == json.loads((folder / CONFIG).read_text())
    assert found["wrote"] == [CONFIG, IGNORE]
    assert (again["config"], again["wrote"]) == (None, [])


def test_data_of_a_node_project_lies_outside(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = folder.parent / "state"
    monkeypatch.setattr(init, "OF_ROOT", state / "slot-machine")
    monkeypatch.setenv("XDG_STATE_HOME", str(state))
    (folder / "package.json").write_text("{}")
    place = state / "slot-machine" / "project"

    init.run(".slot-machine", force=False)
    written = json.loads((folder / CONFIG).read_text())
    place.mkdir(parents=True)
    init.run(".slot-machine", force=True)
    again = json.loads((folder / CONFIG).read_text())
    (folder / CONFIG).unlink()
    init.run(".slot-machine", force=False)
    others = json.loads((folder / CONFIG).read_text())

    assert (written["name"], written["data"]) == ("project", str(place))
    assert again["data"] == str(place), "its own folder is no other app's"
    assert re.fullmatch(f"{place}-[0-9a-f]{{6}}", others["data"])
    assert (folder / IGNORE).read_text() == ".slot-machine\n"


def test_env_file_that_git_tracks_is_not_taken(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / ".env").write_text("A=1")
    (folder / "index.html").touch()
    commit(folder, ".env", "index.html")

    init.run(".slot-machine", force=False)

    assert "env_file" not in json.loads((folder / CONFIG).read_text())
    assert "look at: git tracks .env" in capsys.readouterr().err


def test_files_that_git_ignores_are_in_no_deploy(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / IGNORE).write_text("package-lock.json\n")
    (folder / "package.json").write_text('{"scripts": {"start": "node a.js"}}')
    (folder / "package-lock.json").write_text("{}")
    commit(folder, IGNORE, "package.json")

    init.run(".slot-machine", force=False)

    assert json.loads((folder / CONFIG).read_text())["setup_command"] == "npm install"
    assert "look at: git ignores package-lock.json, so no deploy has it" in capsys.readouterr().err


def test_root_of_an_app_in_a_subfolder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "apps" / "api").mkdir(parents=True)
    (folder / "apps" / "api" / "go.mod").write_text("module x\n")
    (folder / "apps" / "api" / "main.go").write_text('package main\n\nfunc main() { os.Getenv("PORT") }\n')
    commit(folder, "apps")
    monkeypatch.chdir(folder / "apps" / "api")

    init.run(".slot-machine", force=False)

    written = json.loads((folder / "apps" / "api" / CONFIG).read_text())
    assert (written["root"], written["name"], written["start_command"]) == ("apps/api", "api", "bin/x")


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "127.0.0.77", "::1"])
@pytest.mark.parametrize("listens", [True, False])
def test_port_counts_as_used_on_any_address(host: str, listens: bool) -> None:
    port = free_port()
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as other:
        other.bind((host, port))
        if listens:
            other.listen()

        assert ports.free_from(port) > port


def test_existing_data_folder_is_not_written_through_a_link(site: Site) -> None:
    site.data.mkdir()
    (site.data / IGNORE).symlink_to(site.folder / "other")

    daemon = site.launch()

    assert daemon.process.wait(20) == 1
    assert not (site.folder / "other").exists()


def test_name_is_that_of_the_folder_unless_a_running_daemon_has_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def running(name: str, repo: str) -> Entry:
        return Entry(
            name=name,
            data=f"{repo}/.slot-machine",
            repo=repo,
            files=(f"{repo}/{CONFIG}",),
            port=3000,
            api_port=9100,
            version="1",
            uid=0,
            process=Identity(1, 1, ""),
        )

    entries = [running("project", str(folder))]
    monkeypatch.setattr(registry, "running", lambda: entries)
    init.run(".slot-machine", force=False)
    assert json.loads((folder / CONFIG).read_text())["name"] == "project", "the daemon of this very folder has it"

    entries += [running("project", "/srv/project"), running("project-2", "/srv/project2")]
    init.run(".slot-machine", force=True)
    assert json.loads((folder / CONFIG).read_text())["name"] == "project-3"
