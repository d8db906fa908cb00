import json
from pathlib import Path

import pytest

from .orchestrator import Orchestrator
from .ports import is_free

DEFAULTS = {
    "health_endpoint": "/healthz",
    "health_timeout_ms": 10000,
    "drain_timeout_ms": 5000,
}
PORTS = {"port": 3000, "api_port": 9100}
"""If one of these is in use, `init` takes another port."""


@pytest.fixture
def bun_project(tmp_path: Path) -> Path:
    (tmp_path / "bun.lock").write_text("{}\n")
    (tmp_path / "package.json").write_text(json.dumps({"main": "other.ts", "scripts": {"start": "bun run server.ts"}}))
    return tmp_path


def test_init_of_a_bun_project(orchestrator: Orchestrator, bun_project: Path) -> None:
    (bun_project / ".env").write_text("A=1\n")

    result = orchestrator.run("init", cwd=bun_project)

    assert result.returncode == 0, result.stderr
    config = json.loads((bun_project / "slot-machine.json").read_text())
    assert config["setup_command"] == "bun install --frozen-lockfile"
    assert config["start_command"] == "bun run server.ts"
    assert config["env_file"] == ".env"
    assert config.get("internal_port", config["port"]) == config["port"]
    in_use = {field for field, port in PORTS.items() if not is_free(port)}
    assert {field for field, default in (DEFAULTS | PORTS).items() if config.get(field) != default} == in_use


def test_init_appends_to_gitignore_once(orchestrator: Orchestrator, bun_project: Path) -> None:
    gitignore = bun_project / ".gitignore"
    config = bun_project / "slot-machine.json"
    gitignore.write_text("node_modules")

    assert orchestrator.run("init", cwd=bun_project).returncode == 0
    assert gitignore.read_text().splitlines() == ["node_modules", ".slot-machine"]

    written = json.loads(config.read_text())
    edited = json.dumps(written | {"port": 4000})
    config.write_text(edited)

    assert orchestrator.run("init", cwd=bun_project).returncode == 0
    assert config.read_text() == edited, "an existing configuration is kept"
    assert orchestrator.run("init", "--force", cwd=bun_project).returncode == 0
    assert json.loads(config.read_text())["port"] == written["port"]
    assert gitignore.read_text().splitlines() == ["node_modules", ".slot-machine"]
