"""What `start` refuses before there is a daemon."""

from pathlib import Path

import pytest

from slot_machine.cli.start import options
from slot_machine.core.errors import ConfigError


def test_a_time_zone_that_the_machine_does_not_know_is_refused_by_name(tmp_path: Path) -> None:
    file = tmp_path / "slot-machine.json"
    file.write_text('{"start_command": "app", "cron_timezone": "Mars/Olympus"}')

    with pytest.raises(ConfigError, match="cron_timezone: this machine knows no time zone 'Mars/Olympus'"):
        options(file, None, None, None, proxy=True, rebuild_state=False)


def test_a_preview_needs_the_proxy(tmp_path: Path) -> None:
    file = tmp_path / "slot-machine.json"
    file.write_text('{"start_command": "app", "preview_port": 4000}')

    with pytest.raises(ConfigError, match="preview_port needs the proxy"):
        options(file, None, None, None, proxy=False, rebuild_state=False)


def test_paths_of_visitors_are_counted_by_the_proxy_alone(tmp_path: Path) -> None:
    file = tmp_path / "slot-machine.json"
    file.write_text('{"start_command": "app", "rehearse": "recent"}')

    with pytest.raises(ConfigError, match='rehearse "recent" needs the proxy') as refused:
        options(file, None, None, None, proxy=False, rebuild_state=False)
    assert "name the paths" in refused.value.hint
