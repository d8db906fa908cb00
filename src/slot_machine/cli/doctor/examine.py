"""Runs all checks of `doctor`, and puts what they found into words."""

import os
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence

from slot_machine.app.opening import Options
from slot_machine.cli.client import Json
from slot_machine.cli.doctor import app, cluster, follow, machine, unit
from slot_machine.cli.doctor.finding import AS_ANOTHER, Finding, Subject, note, ok, refused, wrong
from slot_machine.core.errors import SlotMachineError
from slot_machine.daemon.lock import locked_by
from slot_machine.host.user import account, rights

Check = Callable[[Subject], Iterator[Finding]]

CHECKS: tuple[Check, ...] = (
    machine.git,
    machine.kernel,
    machine.clock,
    machine.limits,
    machine.disk,
    app.folders,
    app.daemon,
    app.used_ports,
    app.env_file,
    unit.unit,
    follow.followed,
    follow.hooked,
)
OF_CLUSTER: tuple[Check, ...] = (machine.git, app.env_file, cluster.engine)
"""Of an app that a cluster runs."""
WITHOUT_APP = (machine.kernel, machine.clock, machine.limits)
INDENT = 20


def all_checks(configuration: Callable[[], Options]) -> list[Finding]:
    """Raises nothing: a check that fails is a finding, too."""
    try:
        options = configuration()
    except SlotMachineError as error:
        findings = [refused("config", error, "correct it, or name another file with -- --config FILE")]
        return findings + [found for check in WITHOUT_APP for found in check(None)]
    findings = [ok("config", f"{options.config_file} can be used")]
    try:
        rights.begin(_who_runs_commands(options))
    except SlotMachineError as error:
        findings.append(note("user", str(error), "run this command as root: it checks as the user that it runs as"))
    subject = Subject(options, locked_by(options.data))
    checks = OF_CLUSTER if options.config.daemon.engine else CHECKS
    return findings + [found for check in checks for found in _found(check, subject)]


def _who_runs_commands(options: Options) -> rights.Account | None:
    """The field `user`; for root also the user of the daemon, whose data folder it is. Raises StartRefused."""
    daemon, data = options.config.daemon, options.data
    if daemon.user_name:
        return rights.find(daemon.user_name, daemon.group_name)
    if os.geteuid() or not data.exists():
        return None
    return rights.find(account.name(data.stat().st_uid), "")


def _found(check: Check, subject: Subject) -> Iterator[Finding]:
    try:
        yield from check(subject)
    except (OSError, SlotMachineError) as error:
        yield wrong(check.__name__, f"this can't be checked: {error}", AS_ANOTHER)


def lines(findings: Sequence[Finding]) -> Iterator[str]:
    """Filled to the width of a terminal; in a pipe, one line for each finding and each hint."""
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else sys.maxsize
    fill = textwrap.TextWrapper(width, subsequent_indent=" " * INDENT, break_on_hyphens=False, break_long_words=False)
    for found in findings:
        yield fill.fill(f"{found.level:<7}{found.check:<13}{found.text}")
        if found.hint:
            yield fill.fill(f"{'':<{INDENT}}hint: {found.hint}")


def as_json(findings: Sequence[Finding]) -> Json:
    return {"success": not any_wrong(findings), "checks": [found._asdict() for found in findings]}


def any_wrong(findings: Sequence[Finding]) -> bool:
    return any(found.level == "wrong" for found in findings)
