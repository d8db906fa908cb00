"""Time limits that well-known workers have themselves, from their stop signal until they give their jobs back."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from slot_machine.core.version_config import Process, VersionConfig


class OwnLimit(NamedTuple):
    """`option` matches the option that sets the limit; `per_s` is how many of its units are a second."""

    program: str
    option: re.Pattern[str]
    default_s: float | None
    per_s: int = 1


def _option(*names: str) -> re.Pattern[str]:
    return re.compile(rf"(?:^|\s)(?:{'|'.join(names)})[=\s]*(\d+)")


OWN_LIMITS = (
    OwnLimit("sidekiq", _option("-t", "--timeout"), 25),
    OwnLimit("dramatiq", _option("--worker-shutdown-timeout"), 600, per_s=1000),
    OwnLimit("good_job", _option("--shutdown-timeout"), None),
    OwnLimit("artisan queue:work", _option("--timeout"), 60),
    OwnLimit("gunicorn", _option("--graceful-timeout"), 30),
)


def too_short(config: VersionConfig) -> Iterator[str]:
    """Warnings about processes that are killed before their own limit."""
    for name, process in config.workers.items():
        program, limit_s = _own_limit(process)
        if limit_s is not None and process.stop_timeout_s <= limit_s:
            yield (
                f"processes.{name}: stop_timeout_ms is {process.stop_timeout_ms}, and {program} itself takes up to"
                f" {limit_s:g} s to give its jobs back: jobs that SIGKILL cuts may be lost or run again;"
                f" set stop_timeout_ms to {round(limit_s + 10) * 1000} or more"
            )


def _own_limit(process: Process) -> tuple[str, float | None]:
    """The program, and its limit in seconds; None if it has none, or is not known."""
    for limit in OWN_LIMITS:
        program = r"\s+".join(map(re.escape, limit.program.split()))
        if begins := re.search(rf"(?:^|[\s/]){program}(?=\s|$)", process.command):
            found = limit.option.search(process.command, begins.end())
            return limit.program, int(found[1]) / limit.per_s if found else limit.default_s
    return "", None
