"""What `GET /status` and `slot-machine status` tell."""

import os
from typing import Literal

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
from slot_machine.host.user import account
from slot_machine.state.restarts import Exit, RestartCount


class Status(msgspec.Struct, kw_only=True):
    """A text is `""` if there is nothing to report, never null. `restarts` counts since the last switch."""

    name: str
    live_slot: str
    live_commit: str
    previous_slot: str
    previous_commit: str
    last_deploy_time: str
    healthy: bool
    unhealthy_reason: str
    previous_ready: bool
    """Whether a rollback can start the previous version as its slot is. If not, the slot is prepared again."""
    running: str
    """The stage of the deploy or rollback that runs."""
    pid: int
    restarts: int
    last_exit: str
    processes: list[SideStatus]
    retiring: list[RetiringStatus]
    last_attempt: Attempt | str
    jobs: list[JobStatus]
    traffic: str
    handover: bool
    """Whether the next deploy can start a version beside the live one, on the same port (`--no-proxy`)."""
    handover_reason: str
    """Why it can't. Empty with the proxy."""
    port: int
    reloads: int
    """Since the daemon was started."""
    version: str
    live_config: VersionConfig | Literal[""]
    """What the live version was deployed with."""
    shared: dict[str, str]
    """By path of shared data: `linked`, or `missing` or `replaced` if the live version does not use it."""
    notify: list[Receiver]
    """Where notices go, and what came of the latest one."""
    one_offs: list[OneOffStatus]
    """Commands that `slot-machine run` has started and that run."""
    state: Standing | Literal[""]
    """Of the web process; empty if nothing is live."""
    restart_counts: list[RestartCount]
    last_exits: list[Exit]
    """Of each process the last one. These two are kept over switches and reloads."""
    live_subject: str
    live_author: str
    live_committed_at: str
    """RFC 3339."""
    live_ref: str
    """The branch or tag by which the live commit was last asked for."""
    previous_subject: str
    previous_author: str
    previous_committed_at: str
    previous_ref: str
    uptime_s: float
    """Of the web process; 0 if it does not run."""
    memory_mb: float
    """Resident memory of all processes of the live version."""
    cpu_percent: float
    """Of one CPU, as `usage.Cpu` measures it."""
    env_changed: bool
    """Whether `env_file` differs from what the live app was started with."""
    maintenance: MaintenanceStatus | Literal[""]
    """Empty if there is none."""
    candidate: CandidateStatus
    """What `deploy --hold` holds, or the live version while it is watched."""
    push_branch: str
    """The branch whose pushes are deployed; empty where nobody can push."""
    too_large: dict[str, str]
    """By the name of a run that takes more than `memory_max_mb` and is not restarted any more: why."""
    follow: FollowStatus | Literal[""]
    """What the latest look at the branch has found; empty if none is followed."""
    webhook: WebhookStatus | Literal[""]
    repo: str
    """The path of the app's repository."""
    repo_user: str
    """Who owns it; empty if nobody can tell."""
    domains: list[DomainStatus] = []
    """How far the edge is with each of the `domains` and `redirects`."""


def gather(app: App, name: str, port: int, reloads: int, repo: str, webhook: WebhookStatus | Literal[""]) -> Status:
    deployer, supervisor, mode = app.deployer, app.supervisor, app.mode
    state = deployer.state
    live_slot, live_commit = _texts(state.live)
    previous_slot, previous_commit = _texts(state.previous)
    running = deployer.operations.running
    release, commits = supervisor.release, deployer.commits
    live, previous = commits.known(live_commit), commits.known(previous_commit)
    pid = release.web.session.pid if release and supervisor.running else 0
    members = _members(release)
    return Status(
        name=name,
        live_slot=live_slot,
        live_commit=live_commit,
        previous_slot=previous_slot,
        previous_commit=previous_commit,
        last_deploy_time=state.last_deploy_time,
        healthy=supervisor.healthy,
        unhealthy_reason=supervisor.unhealthy_reason,
        previous_ready=deployer.previous_ready,
        running=running.record.stage if running else "",
        pid=pid,
        restarts=supervisor.web.restarts,
        last_exit=supervisor.web.last_exit,
        processes=list(side_status.live(supervisor)),
        retiring=list(side_status.retiring(supervisor)),
        last_attempt=deployer.attempts.last or "",
        jobs=app.jobs.overview(),
        traffic=mode.name,
        handover=mode.hands_over,
        handover_reason=mode.handover_reason,
        port=port,
        reloads=reloads,
        version=__version__,
        live_config=state.live.config if state.live else "",
        shared=deployer.shared,
        notify=app.notices.receivers,
        one_offs=one_offs.status(app.one_offs),
        state=supervisor.outages.standing(WEB, release.version, running=supervisor.running) if release else "",
        restart_counts=supervisor.outages.counts(),
        last_exits=supervisor.outages.exits(),
        live_subject=live.subject,
        live_author=live.author,
        live_committed_at=live.committed_at,
        live_ref=commits.ref(live_commit),
        previous_subject=previous.subject,
        previous_author=previous.author,
        previous_committed_at=previous.committed_at,
        previous_ref=commits.ref(previous_commit),
        uptime_s=round(usage.age_s(pid), 1) if pid else 0.0,
        memory_mb=usage.memory_mb(members),
        cpu_percent=app.cpu.percent(members),
        env_changed=deployer.env_changed,
        maintenance=maintenance.status(app.maintenance),
        candidate=candidates.status(deployer.candidates, deployer.watching),
        push_branch=app.branch.name,
        too_large=app.memory.given_up,
        follow=app.following.overview() if app.following else "",
        webhook=webhook,
        repo=repo,
        repo_user=_owner(repo),
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
