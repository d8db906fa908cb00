"""What the daemon is told when it starts."""

from pathlib import Path

from slot_machine.app.opening import Options
from slot_machine.core.config_file import parse


def test_reload_can_change_neither_ports_nor_folders_nor_users(tmp_path: Path) -> None:
    config, _ = parse('{"start_command": "x", "user": 33, "group": null}')
    options = Options(config, tmp_path, tmp_path / "repo", tmp_path / "data", proxy=True, rebuild_state=False)

    assert options.fixed == {
        "port": 3000,
        "internal_port": 3000,
        "api_port": 9100,
        "user": "33",
        "group": "",
        "data": f"{tmp_path}/data",
        "repo": f"{tmp_path}/repo",
    }
