"""The fields of `slot-machine.json` that are a version's own: each is declared once, with default, check and words."""

from typing import Annotated, Literal

import msgspec

from slot_machine.core.fields import CpuWeight, Doc, Megabytes, Millis, Name, PagePath, Signal, Statuses, TimeLimit


class Process(msgspec.Struct, frozen=True, kw_only=True):
    """A worker: a process that runs beside the web process, and that no visitor reaches."""

    command: Annotated[str, Doc("starts it in the foreground, as `start_command` starts the web process")]
    count: Annotated[int, msgspec.Meta(ge=0, le=100), Doc("how many of it run")] = 1
    singleton: Annotated[
        bool, Doc("whether the new version's starts only when the old version's has ended, as a scheduler's must")
    ] = False
    stop_timeout_ms: Annotated[Millis, Doc("time from the stop signal to SIGKILL")] = 60_000
    stop_signal: Annotated[Signal, Doc("asks it to end. Its main process gets the signal")] = "TERM"
    quiet_signal: Annotated[
        Signal | Literal[""], Doc("sent at the switch, before the stop signal: take no new work", default="none")
    ] = ""
    memory_max_mb: Annotated[Megabytes, Doc("as the daemon's field, for each of these processes; 0 is no limit")] = 0
    cpu_weight: Annotated[CpuWeight, Doc("as the daemon's field, for each of these processes")] = 100

    @property
    def stop_timeout_s(self) -> float:
        return self.stop_timeout_ms / 1000


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A command that runs at the times of its schedule, in the live version."""

    schedule: Annotated[str, Doc('when it runs, as in crontab(5): `"0 3 * * *"` or `"@daily"`')]
    command: Annotated[str, Doc("what runs; `/bin/sh -c` runs it in the root folder of the version's files")]
    timeout_ms: Annotated[TimeLimit, Doc("its time limit; then a run gets SIGTERM, and SIGKILL 10 s later")] = 3_600_000

    @property
    def timeout_s(self) -> float:
        return self.timeout_ms / 1000


class VersionConfig(msgspec.Struct, frozen=True, kw_only=True):
    """How a version of the app is set up, started, checked and stopped.

    Paths are relative to `root`, and `root` is relative to the repository's top folder.
    """

    root: Annotated[
        str, Doc("folder of the app in the repository, in which all commands run", default="the repository's top")
    ] = ""
    start_command: Annotated[
        str, Doc("starts the app in the foreground. `/bin/sh -c` runs it in the root folder of the version's files")
    ]
    setup_command: Annotated[
        str | None, Doc("runs after the checkout and before the start, for example an install", default="none")
    ] = ""
    setup_timeout_ms: Annotated[
        TimeLimit,
        Doc("time limit of the setup. After it, the setup and all that it started are killed, and the deploy fails"),
    ] = 900_000
    setup_inputs: Annotated[
        tuple[str, ...] | None,
        Doc(
            "files that the setup depends on: it is skipped while they are unchanged. See [Setup](deploys.md#setup)",
            default="the lock files and manifests that are known",
        ),
    ] = None
    build_command: Annotated[
        str | None, Doc("runs after the setup, on every deploy, for example `npm run build`", default="none")
    ] = ""
    release_command: Annotated[
        str | None,
        Doc(
            "runs once for each deploy, after the build and before the new version starts, for example a migration."
            " It never runs for a rollback or a restart",
            default="none",
        ),
    ] = ""
    release_timeout_ms: Annotated[TimeLimit, Doc("time limit of the release command")] = 900_000
    processes: Annotated[
        dict[Name, str | Process],
        Doc("workers: by name, a command or an object. See [Processes](processes.md)", default="none"),
    ] = {}
    cron: Annotated[
        dict[Name, Job], Doc("jobs: by name, a schedule and a command. See [Jobs](processes.md#jobs)", default="none")
    ] = {}
    health_endpoint: Annotated[
        str,
        msgspec.Meta(pattern=r"^/[!-~]*\Z"),
        Doc("path that is asked for while the app is checked; begins with `/`, without spaces"),
    ] = "/healthz"
    health_status: Annotated[
        Annotated[int, msgspec.Meta(ge=100, le=599)] | Statuses,
        Doc('the status of a healthy answer: a number, or a range such as `"200-399"`'),
    ] = 200
    health_host: Annotated[
        str,
        msgspec.Meta(pattern=r"^[!-~]*\Z"),
        Doc("`Host` field of health checks, for apps that answer certain hosts only", default="the address and port"),
    ] = ""
    health_timeout_ms: Annotated[TimeLimit, Doc("time that a new version has to become healthy")] = 10_000
    rehearse: Annotated[
        Annotated[tuple[PagePath, ...], msgspec.Meta(max_length=50)] | Literal["recent"],
        Doc(
            'paths that a deploy asks the new version for, before the switch; `"recent"` is those that most visitors'
            " asked for in the last hour. See [Rehearsal](deploys.md#rehearsal)",
            default="none",
        ),
    ] = ()
    watch_ms: Annotated[
        Millis,
        Doc(
            "time after the switch in which the old version stays ready, and a new one that is clearly worse is taken"
            " back; 0 is none. See [Watch](trust.md#watch)"
        ),
    ] = 0
    watch_action: Annotated[
        Literal["rollback", "hold", "warn"],
        Doc(
            "what is done with a version that is clearly worse: `rollback` ends it, `hold` keeps it for a look,"
            " `warn` leaves it live. Under `rollback` and `hold` the old version is live again"
        ),
    ] = "rollback"
    share_cookie: Annotated[
        str,
        msgspec.Meta(pattern=r"^[!#$%&'*+\-.^_`|~0-9A-Za-z]*\Z", max_length=200),
        Doc("the app's own cookie whose value decides which side of a [share](trust.md#share) a visitor is on", "none"),
    ] = ""
    share_cookie_values: Annotated[
        tuple[str, ...], Doc("values of that cookie that always get the new version in a share", default="none")
    ] = ()
    drain_timeout_ms: Annotated[Millis, Doc("time from the switch to SIGKILL for the old version")] = 5_000
    strategy: Annotated[
        Literal["overlap", "replace"],
        Doc("`replace` is for apps that must not run twice. See [Traffic modes](deploys.md#traffic-modes)"),
    ] = "overlap"
    shared_dirs: Annotated[
        tuple[str, ...],
        Doc("folders of the app's data, which all versions share. See [Data](data.md)", default="none"),
    ] = ()
    shared_files: Annotated[
        tuple[str, ...],
        Doc("files of the app's data, which all versions share. A folder is the safer choice", default="none"),
    ] = ()
    asset_dirs: Annotated[
        tuple[str, ...],
        Doc(
            "folders with files whose names bear a digest: the new version serves those of earlier ones, too."
            " See [Assets](deploys.md#assets)",
            default="none",
        ),
    ] = ()
    asset_keep: Annotated[
        int, msgspec.Meta(ge=0, le=100), Doc("number of earlier live versions whose assets are served")
    ] = 3
    base_image: Annotated[
        str,
        msgspec.Meta(pattern=r"^([a-z0-9][a-zA-Z0-9._:/@-]*)?\Z", max_length=300),
        Doc(
            "for an [engine](engines.md): the image that the app's is built on, such as `python:3.12-slim`",
            default="by the runtime that is recognised",
        ),
    ] = ""

    @property
    def watch_s(self) -> float:
        return self.watch_ms / 1000

    @property
    def setup_timeout_s(self) -> float:
        return self.setup_timeout_ms / 1000

    @property
    def health_timeout_s(self) -> float:
        return self.health_timeout_ms / 1000

    @property
    def release_timeout_s(self) -> float:
        return self.release_timeout_ms / 1000

    @property
    def drain_timeout_s(self) -> float:
        return self.drain_timeout_ms / 1000

    @property
    def workers(self) -> dict[str, Process]:
        """`processes`, with objects in place of plain commands."""
        return {
            name: Process(command=process) if isinstance(process, str) else process
            for name, process in self.processes.items()
        }

    @property
    def healthy_statuses(self) -> range:
        first, _, last = str(self.health_status).partition("-")
        return range(int(first), int(last or first) + 1)
