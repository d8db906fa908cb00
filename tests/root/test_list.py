"""The registry between users: root finds all daemons, and what a user writes there misleads nobody."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from spec.ports import free_port

from slot_machine.host import registry
from slot_machine.host.process import proc
from slot_machine.host.registry import Entry
from tests.users import OWNER, STRANGER, as_user, give, needs_root, public_folder, python_for_all, run_as
from tests.world import Site, installed


@pytest.fixture
def owners_site() -> Iterator[Site]:
    """Its daemon is OWNER's, who is not logged in."""
    with public_folder() as folder:
        site = Site(installed(), folder)
        site.config["name"] = f"shop-{free_port()}"
        site.commit("v1")
        site.prefix = (*as_user(OWNER), *python_for_all())
        (site.repo / "slot-machine.json").touch()
        give(folder, OWNER)
        site.start()
        yield site
        site.close()


def test_root_sees_the_daemons_of_all_users_and_others_only_theirs(owners_site: Site, site: Site) -> None:
    site.start(name=owners_site.config["name"])
    name, binary = str(site.config["name"]), str(site.orchestrator.binary)

    listed = [row for row in json.loads(site.run("list", "--json").stdout) if row["name"] == name]
    owners = json.loads(run_as(OWNER, *python_for_all(), binary, "list", "--json").stdout)

    assert {(row["user"], row["data"]) for row in listed} == {
        ("root", str(site.data)),
        (f"user {OWNER}", str(owners_site.data)),
    }
    assert [row["data"] for row in owners if row["name"] == name] == [str(owners_site.data)]
    refused = site.orchestrator.run("rollback", "-a", name, cwd=Path("/"))
    assert f"{name}: {owners_site.data}, port {owners_site.port}, user user {OWNER}" in refused.stderr
    done = run_as(OWNER, *python_for_all(), binary, "status", "-a", name)
    assert done.returncode in (0, 3)


def test_second_daemon_is_refused_whoever_asks(owners_site: Site) -> None:
    binary = str(owners_site.orchestrator.binary)

    as_owner = run_as(OWNER, *python_for_all(), binary, "start", cwd=owners_site.repo)
    as_root = owners_site.run("start")

    for refused in (as_owner, as_root):
        assert refused.returncode == 1
        assert f"already uses the data folder {owners_site.data}" in refused.stderr
    assert owners_site.data.stat().st_uid == OWNER


def test_entry_leads_to_no_daemon_of_another_user(owners_site: Site, site: Site) -> None:
    """OWNER publishes the data folder of root's daemon, and puts a link to its socket in place of his own."""
    site.start()
    (published,) = (entry for entry in registry.running() if entry.data == str(owners_site.data))
    lure = msgspec.structs.replace(published, name=f"lure-{free_port()}", data=str(site.data), api_port=site.api_port)
    path = Path(registry.WITHOUT_SESSION.format(uid=OWNER)) / registry._file_name(lure.data)
    path.write_bytes(msgspec.json.encode(lure))
    os.chown(path, OWNER, OWNER)
    try:
        ignored = site.orchestrator.run("reload", "-a", lure.name, cwd=Path("/"))
    finally:
        path.unlink()
    (owners_site.data / "api.sock").unlink()
    (owners_site.data / "api.sock").symlink_to(site.data / "api.sock")
    refused = site.orchestrator.run("reload", "-a", published.name, cwd=Path("/"))

    assert f"no running daemon is called {lure.name}" in ignored.stderr
    assert f"no daemon of user {OWNER} answers in {owners_site.data}" in refused.stderr
    assert site.status()["reloads"] == 0


@needs_root
def test_user_cannot_hide_the_daemon_of_another_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each data folder is listed once, and only for the user who owns it."""
    data, folders = tmp_path / "data", [tmp_path / "1", tmp_path / "2"]
    data.mkdir()
    os.chown(data, OWNER, OWNER)
    uids = [STRANGER, OWNER]
    for folder, uid in zip(folders, uids, strict=True):
        monkeypatch.setattr(registry, "own_folders", lambda folder=folder: [str(folder)])
        entry = Entry(
            name=str(uid),
            data=str(data),
            repo="/",
            files=("/slot-machine.json",),
            port=3000,
            api_port=9100,
            version="1",
            uid=0,
            process=proc.identify(os.getpid()),
        )
        registry.publish(entry)
        (path,) = folder.iterdir()
        path.write_bytes(msgspec.json.encode(msgspec.structs.replace(entry, uid=uid)))
        give(folder, uid)
    monkeypatch.setattr(registry, "_all_folders", lambda: list(zip(map(str, folders), uids, strict=True)))

    assert [entry.name for entry in registry.running()] == [str(OWNER)]
