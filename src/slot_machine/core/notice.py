"""What happened, as hooks and notices tell it."""

from typing import Literal

import msgspec

from slot_machine.core.fields import EventName

IN_WORDS: dict[str, str] = {
    "deploy_started": "the deploy has begun",
    "deploy_succeeded": "the deploy succeeded",
    "deploy_failed": "the deploy failed",
    "rolled_back": "rolled back",
    "crashed": "crashed",
    "unhealthy": "is unhealthy",
    "recovered": "is healthy again",
    "job_failed": "a job failed",
    "disk_low": "there is no room for another deploy",
    "follow_failed": "the branch that is followed can't be fetched",
    "certificate_failed": "a domain has a problem with its certificate",
    "test": "this is a test",
}


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """`id` is new for each event, so that a receiver can tell a repetition. `time` is RFC 3339 in UTC.

    `attempt` is the id in the history, 0 if there is none. A text is empty if there is nothing to say.
    """

    event: EventName | Literal["test"]
    id: str
    app: str
    time: str
    commit: str = ""
    subject: str = ""
    slot: str = ""
    who: str = ""
    stage: str = ""
    error: str = ""
    seconds: float = 0.0
    kind: str = ""
    """The kind of the attempt: a `rollback` or a `restart` fails with `deploy_failed`, too."""
    attempt: int = 0
    verdict: str = ""
    """Of a watch."""

    @property
    def title(self) -> str:
        what = IN_WORDS[self.event]
        return f"{self.app}: {what.replace('deploy', self.kind, 1) if self.event == 'deploy_failed' else what}"

    @property
    def text(self) -> str:
        """For people: what is known, one thing a line."""
        lines = [
            f"{self.commit[:8]} {self.subject}".strip(),
            f"by {self.who}" if self.who else "",
            f"stage {self.stage}" if self.stage and self.error else "",
            self.error or (f"watch: {self.verdict}" if self.verdict else ""),
        ]
        return "\n".join(filter(None, lines)) or self.title
