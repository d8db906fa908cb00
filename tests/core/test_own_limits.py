"""Workers that are killed before their own time limit are warned of."""

import pytest

from slot_machine.core.own_limits import too_short
from slot_machine.core.version_config import Process, VersionConfig


def warnings(command: str, stop_timeout_ms: int) -> list[str]:
    process = Process(command=command, stop_timeout_ms=stop_timeout_ms)
    return list(too_short(VersionConfig(start_command="app", processes={"worker": process})))


@pytest.mark.parametrize(
    ("command", "limit_ms"),
    [
        ("bundle exec sidekiq", 25_000),
        ("bundle exec sidekiq -t 40 -c 5", 40_000),
        ("bin/sidekiq -q default --timeout=8", 8_000),
        ("cd jobs && exec bundle exec sidekiq -t8", 8_000),
        ("dramatiq app.tasks", 600_000),
        ("dramatiq app.tasks --worker-shutdown-timeout 5000", 5_000),
        ("bundle exec good_job start --shutdown-timeout=30", 30_000),
        ("php artisan queue:work --tries=3", 60_000),
    ],
)
def test_stop_timeout_must_be_longer_than_the_own_limit(command: str, limit_ms: int) -> None:
    assert warnings(command, limit_ms + 1) == []
    (warning,) = warnings(command, limit_ms)
    assert warning.startswith(f"processes.worker: stop_timeout_ms is {limit_ms}, and ")
    assert f"set stop_timeout_ms to {limit_ms + 10_000} or more" in warning


@pytest.mark.parametrize("command", ["celery -A app worker -t 90", "good_job start", "node sidekiq.js", "rq worker"])
def test_commands_without_a_limit_that_is_known(command: str) -> None:
    assert warnings(command, 0) == []
