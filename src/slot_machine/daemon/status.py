"""What `GET /status` and `slot-machine status` tell."""

import os
from collections.abc import Sequence
from typing import Literal, NamedTuple

import msgspec

from slot_machine import __version__
from slot_machine.app.app import App
from slot_machine.app.follow import FollowStatus
from slot_machine.app.jobs import JobStatus
from slot_machine.app.outages import Standing
from slot_machine.app.outbox import Receiver
from slot_machine.app.release import Release
from slot_machine.core.model import WEB, Attempt, Version
from slot_machine.core.version_config import VersionConfig
from slot_machine.daemon import candidates, maintenance, one_offs, side_status
from slot_machine.daemon.candidates import CandidateStatus
from slot_machine.daemon.maintenance import MaintenanceStatus
from slot_machine.daemon.one_offs import OneOffStatus
from slot_machine.daemon.side_status import RetiringStatus, SideStatus
from slot_machine.daemon.webhook import WebhookStatus
from slot_machine.edge.wire import DomainStatus
from slot_machine.host.process import usage
from slot_machine.host.registry import Entry
from slot_machine.host.user import account
from slot_machine.state.restarts import Exit, RestartCount


class DaemonStatus(msgspec.Struct, kw_only=True):
    """The daemon, and how it serves. `reloads` counts since its start."""

    name: str
    port: int
    traffic: str
    handover: bool
    """Whether the next deploy can start a version beside the live one, on the same port (`--no-proxy`)."""
    handover_reason: str
    """Why it can't. Empty with the proxy."""
    reloads: int
    version: str
    push_branch: str
    """The branch whose pushes are deployed; empty where nobody can push."""
    repo: str
    """The path of the app's repository."""
    repo_user: str
    """Who owns it; empty if nobody can tell."""


class VersionsStatus(msgspec.Struct, kw_only=True):
    """The two versions that the slots have."""

    live_slot: str
    live_commit: str
    live_subject: str
    live_author: str
    live_committed_at: str
    """RFC 3339."""
    live_ref: str
    """The branch or tag by which the live commit was last asked for."""
    live_config: VersionConfig | Literal[""]
    """What the live version was deployed with."""
    previous_slot: str
    previous_commit: str
    previous_subject: str
    previous_author: str
    previous_committed_at: str
    previous_ref: str
    previous_ready: bool
    """Whether a rollback can start the previous version as its slot is. If not, the slot is prepared again."""
    last_deploy_time: str


class LiveStatus(msgspec.Struct, kw_only=True):
    """How the live version runs. `restarts` counts since the last switch."""

    healthy: bool
    unhealthy_reason: str
    state: Standing | Literal[""]
    """Of the web process; empty if nothing is live."""
    pid: int
    uptime_s: float
    """Of the web process; 0 if it does not run."""
    memory_mb: float
    """Resident memory of all processes of the live version."""
    cpu_percent: float
    """Of one CPU, as `usage.Cpu` measures it."""
    restarts: int
    last_exit: str
    restart_counts: list[RestartCount]
    last_exits: list[Exit]
    """Of each process the last one. These two are kept over switches and reloads."""
    processes: list[SideStatus]
    retiring: list[RetiringStatus]
    too_large: dict[str, str]
    """By the name of a run that takes more than `memory_max_mb` and is not restarted any more: why."""
    env_changed: bool
    """Whether `env_file` differs from what the live app was started with."""
    shared: dict[str, str]
    """By path of shared data: `linked`, or `missing` or `replaced` if the live version does not use it."""


class WorkStatus(msgspec.Struct, kw_only=True):
    """What is done beside serving: attempts, jobs, commands, notices."""

    running: str
    """The stage of the deploy or rollback that runs."""
    last_attempt: Attempt | str
    candidate: CandidateStatus
    """What `deploy --hold` holds, or the live version while it is watched."""
    jobs: list[JobStatus]
    one_offs: list[OneOffStatus]
    """Commands that `slot-machine run` has started and that run."""
    maintenance: MaintenanceStatus | Literal[""]
    """Empty if there is none."""
    notify: list[Receiver]
    """Where notices go, and what came of the latest one."""
    follow: FollowStatus | Literal[""]
    """What the latest look at the branch has found; empty if none is followed."""
    webhook: WebhookStatus | Literal[""]
    domains: list[DomainStatus]
    """How far the edge is with each of the `domains` and `redirects`."""


class Status(NamedTuple):
    """A text is `""` if there is nothing to report, never null."""

    daemon: DaemonStatus
    versions: VersionsStatus
    live: LiveStatus
    work: WorkStatus

    @property
    def candidate(self) -> CandidateStatus:
        return self.work.candidate

    def fields(self) -> dict[str, object]:
        """Of all parts, as one object."""
        return {name: value for part in self for name, value in msgspec.structs.asdict(part).items()}


def gather(
    app: App,
    entry: Entry,
    reloads: int,
    webhook: WebhookStatus | Literal[""],
    domains: Sequence[DomainStatus],
) -> Status:
    return Status(_daemon(app, entry, reloads), _versions(app), _live(app), _work(app, webhook, domains))


def _daemon(app: App, entry: Entry, reloads: int) -> DaemonStatus:
    return DaemonStatus(
        name=entry.name,
        port=entry.port,
        traffic=app.mode.name,
        handover=app.mode.hands_over,
        handover_reason=app.mode.handover_reason,
        reloads=reloads,
        version=__version__,
        push_branch=app.branch.name,
        repo=entry.repo,
        repo_user=_owner(entry.repo),
    )


def _versions(app: App) -> VersionsStatus:
    state, commits = app.deployer.state, app.deployer.commits
    live_slot, live_commit = _texts(state.live)
    previous_slot, previous_commit = _texts(state.previous)
    live, previous = commits.known(live_commit), commits.known(previous_commit)
    return VersionsStatus(
        live_slot=live_slot,
        live_commit=live_commit,
        live_subject=live.subject,
        live_author=live.author,
        live_committed_at=live.committed_at,
        live_ref=commits.ref(live_commit),
        live_config=state.live.config if state.live else "",
        previous_slot=previous_slot,
        previous_commit=previous_commit,
        previous_subject=previous.subject,
        previous_author=previous.author,
        previous_committed_at=previous.committed_at,
        previous_ref=commits.ref(previous_commit),
        previous_ready=app.deployer.previous_ready,
        last_deploy_time=state.last_deploy_time,
    )


def _live(app: App) -> LiveStatus:
    supervisor, outages = app.supervisor, app.supervisor.outages
    release = supervisor.release
    pid = release.web.session.pid if release and supervisor.running else 0
    members = _members(release)
    return LiveStatus(
        healthy=supervisor.healthy,
        unhealthy_reason=supervisor.unhealthy_reason,
        state=outages.standing(WEB, release.version, running=supervisor.running) if release else "",
        pid=pid,
        uptime_s=round(usage.age_s(pid), 1) if pid else 0.0,
        memory_mb=usage.memory_mb(members),
        cpu_percent=app.cpu.percent(members),
        restarts=supervisor.web.restarts,
        last_exit=supervisor.web.last_exit,
        restart_counts=outages.counts(),
        last_exits=outages.exits(),
        processes=list(side_status.live(supervisor)),
        retiring=list(side_status.retiring(supervisor)),
        too_large=app.memory.given_up,
        env_changed=app.deployer.env_changed,
        shared=app.deployer.shared,
    )


def _work(app: App, webhook: WebhookStatus | Literal[""], domains: Sequence[DomainStatus]) -> WorkStatus:
    deployer = app.deployer
    running = deployer.operations.running
    return WorkStatus(
        running=running.record.stage if running else "",
        last_attempt=deployer.attempts.last or "",
        candidate=candidates.status(deployer.candidates, deployer.watching),
        jobs=app.jobs.overview(),
        one_offs=one_offs.status(app.one_offs),
        maintenance=maintenance.status(app.maintenance),
        notify=app.notices.receivers,
        follow=app.following.overview() if app.following else "",
        webhook=webhook,
        domains=list(domains),
    )


def _owner(path: str) -> str:
    try:
        return account.name(os.stat(path).st_uid)
    except OSError:
        return ""


def _members(release: Release | None) -> set[int]:
    """The processes of the live version."""
    return usage.families(run.session.pid for run in release.runs.values() if run.running) if release else set()


def _texts(version: Version | None) -> tuple[str, str]:
    return (version.slot, version.commit) if version else ("", "")
