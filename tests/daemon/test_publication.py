"""Which requests a daemon takes for its own, and what it publishes."""

import asyncio
import json
import logging
import os
from pathlib import Path
from typing import cast

import h11
import pytest

from slot_machine.app.opening import Options
from slot_machine.core.config_file import parse, with_name
from slot_machine.core.errors import BadRequest, WrongApp
from slot_machine.daemon import publication
from slot_machine.daemon.connection import Connection, Request
from slot_machine.host import registry
from slot_machine.host.process import proc


def options(config_file: str = "/srv/shop/slot-machine.json", **fields: str) -> Options:
    config, _ = parse(json.dumps({"start_command": "x", **fields}))
    file = Path(config_file)
    return Options(with_name(config, file.parent.name), config, file, Path("/srv/shop"), Path("/data"), True, False)


def request(**meant: str) -> Request:
    head = h11.Request(
        method="GET", target="/", headers=[("Host", "localhost"), ("Slot-Machine-App", json.dumps(meant))]
    )
    return Request(head, cast(Connection, None))


def is_taken(meant: dict[str, str], of: Options) -> bool:
    try:
        publication.check_meant(request(**meant), publication.entry_of(of))
    except WrongApp:
        return False
    return True


def test_app_without_a_name_has_that_of_its_folder() -> None:
    assert publication.entry_of(options()).name == "shop"
    assert publication.entry_of(options(name="blog")).name == "blog"
    assert publication.entry_of(options("/srv/a\x1bb/c.json")).name == "a?b"
    assert publication.entry_of(options("/c.json")).name == "app"
    assert publication.entry_of(options()).process == proc.identify(os.getpid())


@pytest.mark.parametrize(
    ("meant", "taken"),
    [
        ({"data": "/data"}, True),
        ({"data": "/data", "config": "/other.json", "name": "other"}, True),
        ({"data": "/srv/shop/.slot-machine", "config": "/srv/shop/slot-machine.json"}, True),
        ({"data": "/data2", "name": "shop"}, False),
        ({"data": "/srv/staging/.slot-machine", "config": "/srv/staging/slot-machine.json", "name": "shop"}, False),
    ],
)
def test_on_one_machine_the_folders_decide(meant: dict[str, str], taken: bool) -> None:
    assert is_taken(meant | {"boot_id": proc.boot_id()}, options()) == taken


@pytest.mark.parametrize(("name", "taken"), [("shop", True), ("", True), ("blog", False)])
def test_over_a_forwarded_port_the_name_decides(name: str, taken: bool) -> None:
    meant = {"data": "/home/me/shop/.slot-machine", "config": "/home/me/shop/slot-machine.json", "boot_id": "another"}

    assert is_taken(meant | {"name": name}, options()) == taken


def test_file_outside_of_the_repository_stands_for_those_in_it() -> None:
    outside = options("/etc/shop.json", root="web", app_config="deploy.json")

    for config in ("/etc/shop.json", "/srv/shop/slot-machine.json", "/srv/shop/web/slot-machine.json"):
        assert is_taken({"config": config, "boot_id": proc.boot_id()}, outside)
    assert is_taken({"config": "/srv/shop/deploy.json", "boot_id": proc.boot_id()}, outside)
    assert not is_taken({"config": "/srv/shop/b/slot-machine.json", "boot_id": proc.boot_id()}, outside)
    assert not is_taken({"config": "/srv/shop/web/slot-machine.json", "boot_id": proc.boot_id()}, options(root="web"))


@pytest.mark.parametrize("given", ["shop", "[]", '{"name": 1}', "\xff", '{"x": ' + "[" * 60_000])
def test_malformed_field(given: str) -> None:
    fields = [(b"Host", b"localhost"), (b"Slot-Machine-App", given.encode("latin-1"))]
    head = h11.Request(method="GET", target="/", headers=fields)
    with pytest.raises(BadRequest, match="bad field Slot-Machine-App"):
        publication.check_meant(Request(head, cast(Connection, None)), publication.entry_of(options()))


def test_entry_that_somebody_removed_is_there_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when the user logs out, whose folder in /run it was."""
    folder = tmp_path / "registry"
    monkeypatch.setattr(registry, "own_folders", lambda: [str(folder)])
    monkeypatch.setattr(publication, "AGAIN_AFTER_S", 0.01)

    async def story() -> None:
        keeping = asyncio.create_task(publication.keep(publication.entry_of(options())))
        for _ in range(3):
            async with asyncio.timeout(20):
                while not (found := list(folder.glob("*.json"))):  # noqa: ASYNC110 - it tells nobody
                    await asyncio.sleep(0.001)
            found[0].unlink()
            folder.rmdir()
        keeping.cancel()

    asyncio.run(story())


def test_daemon_that_cannot_publish_goes_on_and_says_so_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(registry, "own_folders", lambda: [str(tmp_path / "none" / "registry")])
    monkeypatch.setattr(publication, "AGAIN_AFTER_S", 0)

    async def story() -> None:
        keeping = asyncio.create_task(publication.keep(publication.entry_of(options())))
        for _ in range(10):
            await asyncio.sleep(0)
        assert not keeping.done()
        keeping.cancel()

    with caplog.at_level(logging.WARNING):
        asyncio.run(story())

    (record,) = caplog.records
    assert "`slot-machine list` and the option -a will not find this daemon" in record.getMessage()


def test_the_wait_is_shorter_than_a_minute() -> None:
    assert publication.AGAIN_AFTER_S < 60
