"""Workers and schedulers: which ones must run once only, and with which signals they end."""

import re

import msgspec

from slot_machine.core.version_config import Process

SCHEDULERS = re.compile(r"^(celery[-_]?)?(beat|clock|scheduler|cron)$")
SCHEDULING = re.compile(r"\bcelery\b.*\bbeat\b|\bclockwork\b|\brqscheduler\b|\bsolid_queue:scheduler\b|\bwhenever\b")
EMBEDDED = re.compile(r"\bcelery\b.*\bworker\b.*(\s-B\b|\s--beat\b)")
SIDEKIQ = re.compile(r"\bsidekiq\b")
OWN_LIMIT = re.compile(r"\bsidekiq\b.*?\s(?:-t|--timeout)[ =](\d+)")
SPARE_MS = 5000


def process(name: str, command: str) -> str | Process:
    """A plain command, unless something has to be said about it."""
    command = _beat(command)
    found = Process(command=command)
    if SCHEDULERS.match(name) or SCHEDULING.search(command) or EMBEDDED.search(command):
        found = msgspec.structs.replace(found, singleton=True)
    if SIDEKIQ.search(command):
        own = OWN_LIMIT.search(command)
        least = int(own[1]) * 1000 + SPARE_MS if own else 0
        found = msgspec.structs.replace(found, quiet_signal="TSTP", stop_timeout_ms=max(found.stop_timeout_ms, least))
    return found if found != Process(command=command) else command


def _beat(command: str) -> str:
    """Beat's pid file would keep the next one from starting, and its schedule has to outlive the version."""
    if not re.search(r"\bcelery\b.*\bbeat\b", command):
        return command
    if "--pidfile" not in command:
        command += " --pidfile="
    if not re.search(r"\s(-s|--schedule|-S|--scheduler)\b", command):
        command += ' -s "$SLOT_MACHINE_SHARED/celerybeat-schedule"'
    return command
