"""Checks of the branch that is followed, and of its webhook."""

import asyncio
from collections.abc import Iterator

from slot_machine.cli.doctor.finding import Finding, Subject, ok, refused
from slot_machine.core.errors import ConfigError, GitFailed
from slot_machine.core.model import short
from slot_machine.daemon import webhook
from slot_machine.host.git.git import without_password
from slot_machine.host.git.remote import Remote

SILENCE_S = 20.0


def followed(subject: Subject) -> Iterator[Finding]:
    """Asks the remote, and fetches nothing."""
    follow, options = subject.options.config.daemon.follow, subject.options
    if not follow:
        return
    remote = Remote(options.repo, subject.existing, follow.remote, follow.branch, SILENCE_S)
    try:
        commit = asyncio.run(remote.ask())
    except GitFailed as error:
        yield refused("follow", error, "docs/follow.md says what each error means")
    else:
        yield ok("follow", f"{follow.branch} of {without_password(follow.remote)} is at {short(commit)}")


def hooked(subject: Subject) -> Iterator[Finding]:
    if not subject.options.config.daemon.webhook:
        return
    try:
        webhook.secret_of(subject.options)
    except ConfigError as error:
        yield refused("webhook", error)
    else:
        yield ok("webhook", "it has a secret; `slot-machine webhook` prints what a forge needs")
