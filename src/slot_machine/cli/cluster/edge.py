"""`edge` on a swarm."""

from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import msgspec

from slot_machine.cli import target
from slot_machine.cli.words import columns, cut
from slot_machine.core import config_file
from slot_machine.core.engine_config import Swarm
from slot_machine.core.errors import ConfigError, Impossible
from slot_machine.edge.settings import NAME
from slot_machine.engines.client import Client
from slot_machine.engines.swarm import edge_settings
from slot_machine.engines.swarm.edge import Edge
from slot_machine.engines.swarm.edge_status import EdgeStatus
from slot_machine.engines.swarm.labels import ANY
from slot_machine.host import printing

WRONG = 3
INSTEAD = {
    "start": "`slot-machine edge install` lets the swarm run it",
    "check": "Traefik orders certificates without a look of ours: `docker service logs slot-machine-edge_traefik`",
    "remove": "a deploy without the domain gives it up",
    "upgrade": "name another `image` in edge.json, and use `slot-machine edge install`",
}


def run_install(config: Path | None, image: str, api_image: str) -> None:
    file = config or Path(target.nearest_file()).with_name(NAME)
    given = {"image": image, "api_image": api_image}
    settings = edge_settings.read(file, required=config is not None)
    settings = edge_settings.changed(settings, {name: value for name, value in given.items() if value})
    for line in _edge().install(settings):
        printing.note(line)
    printing.result("the edge serves")


def run_status(as_json: bool) -> None:
    status = _edge().status()
    if as_json:
        whole = {"success": True, "well": status.well, "edge": status}
        printing.result(msgspec.json.encode(whole).decode())
    else:
        for line in _lines(status):
            printing.result(cut(line, columns()))
    if not status.well:
        raise SystemExit(WRONG)


def run_uninstall() -> None:
    _edge().uninstall()
    printing.result("removed the edge; its certificates stay in their volume, slot-machine-edge-acme")


def run_start(**_: object) -> NoReturn:
    _refuse("start")


def run_check(**_: object) -> NoReturn:
    _refuse("check")


def run_remove(**_: object) -> NoReturn:
    _refuse("remove")


def run_upgrade(**_: object) -> NoReturn:
    _refuse("upgrade")


def _refuse(name: str) -> NoReturn:
    raise Impossible(f"`edge {name}` is for one machine, and slot-machine.json has an `engine`", INSTEAD[name])


def _edge() -> Edge:
    """Raises ConfigError, Impossible."""
    file = Path(target.nearest_file())
    try:
        config, _ = config_file.parse(file.read_bytes(), file.name)
    except OSError as error:
        raise ConfigError(f"cannot read {file}: {error.strerror}") from None
    engine = config.daemon.engine
    if not isinstance(engine, Swarm):
        raise Impossible("the edge is for a swarm: Kubernetes has ingress controllers", "docs/engines.md names some")
    return Edge(Client("docker", *(["--context", engine.context] if engine.context else [])))


def _lines(status: EdgeStatus) -> Iterator[str]:
    if not status.image:
        yield "edge      the swarm has none: `slot-machine edge install`"
    else:
        yield f"edge      {status.image} on {', '.join(status.nodes) or 'no node'}"
    for task in status.tasks:
        yield f"  {task.service:<8}{task.node}  {task.state}{f': {task.error}' if task.error else ''}"
    if not status.domains:
        yield "no app has domains here"
    for domain in status.domains:
        shown = "http://…, any host" if domain.host == ANY else f"https://{domain.host}"
        state = "  under maintenance" if domain.maintenance else ""
        wrong = f"  ALSO CLAIMED BY {', '.join(domain.also)}" if domain.also else ""
        yield f"  {shown}  {domain.service}{state}{wrong}"
