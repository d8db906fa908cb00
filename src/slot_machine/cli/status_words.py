"""What `status` says in words. It must answer fast, so this module imports almost nothing."""

from slot_machine.cli import certificate_words, followed, words
from slot_machine.cli.client import Json
from slot_machine.cli.words import PREVIEW, ago, commit, entries, number, span, text, times, until

TYPE_CHECKING = False  # typing's own takes 3 ms to import.
if TYPE_CHECKING:
    from collections.abc import Callable

LONGEST_NAME = 40
"""In columns. `show` and `--json` have the whole of it."""

CAUSES = {
    "crash": "crashed",
    "unhealthy": "unhealthy",
    "restart": "restarted",
    "cron": "restarted by a job",
    "memory": "restarted for its memory",
}


def lines(status: Json) -> "list[str]":
    """Each may take several lines of the terminal."""
    found = ((name, part(status)) for name, part in PARTS.items())
    return [words.row(name, part) for name, part in found if part]


def _name(values: Json, field: str) -> str:
    return words.cut(text(values, field), LONGEST_NAME)


def _app(status: Json) -> "list[str]":
    name, daemon = text(status, "name"), f"slot-machine {text(status, 'version')}"
    return [f"{name or 'app'} on port {text(status, 'port')}, {text(status, 'traffic')}, {daemon}"]


def _live(status: Json) -> "list[str]":
    if not text(status, "live_commit"):
        return ["nothing; `slot-machine deploy` makes a commit live"]
    width = words.columns() - words.LABEL
    author, ref = _name(status, "live_author"), _name(status, "live_ref")
    by = f"by {author}" if author else ""
    details = [by, ago(text(status, "live_committed_at")), f"asked for as {ref}" if ref else ""]
    return [words.cut(commit(status, "live_"), width), *filter(None, [", ".join(filter(None, details))])]


def _health(status: Json) -> "list[str]":
    if status.get("healthy"):
        unsteady = text(status, "state") not in ("", "running")
        return [f"healthy, but it ended a short time ago ({text(status, 'state')})" if unsteady else "healthy"]
    if not text(status, "live_commit"):
        return []
    state = text(status, "state")
    reason = text(status, "unhealthy_reason")
    return [f"UNHEALTHY ({state}): {reason}" if state not in ("", "running") else f"UNHEALTHY: {reason}"]


def _candidate(status: Json) -> "list[str]":
    candidate = status.get("candidate")
    if not isinstance(candidate, dict) or not candidate.get("state"):
        return []
    what = f"{text(candidate, 'commit')[:8]} in slot {text(candidate, 'slot')}"
    if candidate["state"] == "failed":
        return [f"{what} FAILED: {text(candidate, 'error')}", "`slot-machine abort` ends it"]
    warnings = [f"warning: {warning}" for warning in candidate.get("warnings", [])]
    if candidate["state"] == "watched":
        so_far = f"{what} is live and watched, begun {ago(text(candidate, 'since'))}: {text(candidate, 'verdict')}"
        return [so_far, *warnings, "`slot-machine promote` keeps it, `slot-machine abort` goes back"]
    hint = "`slot-machine promote` makes it live, `slot-machine abort` ends it"
    share = number(candidate, "share")
    state = f"has {share:g}% of the visitors" if share else f"is {candidate['state']}"
    verdict = f": {text(candidate, 'verdict')}" if text(candidate, "verdict") else ""
    return [f"{what} {state}, begun {ago(text(candidate, 'since'))}{verdict}", *warnings, hint]


def _preview(status: Json) -> "list[str]":
    candidate = status.get("candidate")
    link = text(candidate, "preview_url") if isinstance(candidate, dict) else ""
    return [link, PREVIEW] if link else []


def _slot(status: Json) -> "list[str]":
    if not text(status, "live_slot"):
        return []
    details = [text(status, "live_slot")]
    if status.get("pid"):
        details += [f"pid {status['pid']}", f"up {span(number(status, 'uptime_s'))}"]
    if deployed := text(status, "last_deploy_time"):
        details.append(f"live for {span(words.age_s(deployed))}")
    return [", ".join(details)]


def _usage(status: Json) -> "list[str]":
    if not status.get("memory_mb"):
        return []
    return [f"{number(status, 'memory_mb'):.1f} MB memory, {number(status, 'cpu_percent'):.1f} % of a CPU"]


def _restarts(status: Json) -> "list[str]":
    found: list[str] = []
    for count in entries(status, "restart_counts"):
        process, cause = text(count, "process"), text(count, "cause")
        of = "" if process == "web" else f"{process}: "
        last = f", last {ago(text(count, 'last_at'))}" if count.get("last_at") else ""
        found.append(f"{of}{CAUSES.get(cause, cause)} {times(int(number(count, 'number')))}{last}")
    return found


def _last_exits(status: Json) -> "list[str]":
    found: list[str] = []
    for end in entries(status, "last_exits"):
        process = text(end, "process")
        of = "" if process == "web" else f"{process}: "
        where = f"{text(end, 'commit')[:8]} in slot {text(end, 'slot')}"
        found.append(f"{of}{text(end, 'how')}, {ago(text(end, 'at'))}, {where}")
        printed = end.get("lines", [])
        found += [f"| {line}" for line in printed] if isinstance(printed, list) else []
    return found


def _rollback(status: Json) -> "list[str]":
    if not text(status, "previous_commit"):
        return ["nothing"] if text(status, "live_commit") else []
    ready = "ready" if status.get("previous_ready") else "to be prepared again"
    width = words.columns() - words.LABEL
    return [words.cut(commit(status, "previous_"), width), f"in slot {text(status, 'previous_slot')}, {ready}"]


def attempt(entry: Json) -> str:
    """A sentence about an entry of the history."""
    result, stage = text(entry, "result"), text(entry, "stage")
    what = f"{text(entry, 'kind')} of {text(entry, 'commit')[:8] or '...'}"
    by = f" by {_name(entry, 'who')}" if text(entry, "who") else ""
    if result == "running":
        during = f", in stage {stage}," if stage else ""
        return f"{what}{by} runs{during} for {span(words.age_s(text(entry, 'started_at')))}"
    took = f"{'in' if result == 'succeeded' else 'after'} {span(number(entry, 'seconds'))}"
    where = f" in stage {stage}" if stage and result != "succeeded" else ""
    said = f"{what}{by} {result}{where} {took}, {ago(text(entry, 'started_at'))}"
    return f"{said}: {text(entry, 'error')}" if text(entry, "error") else said


def _last_attempt(status: Json) -> "list[str]":
    last = status.get("last_attempt")
    return [attempt(last)] if isinstance(last, dict) else []


def _processes(status: Json) -> "list[str]":
    return [_side_run(run) for run in entries(status, "processes")]


def _side_run(run: Json) -> str:
    said = f"{_numbered(run)} {run['state']}"
    if run["pid"]:
        said += f", pid {run['pid']}, {run['memory_mb']} MB"
    if run["restarts"]:
        said += f", started again {times(int(number(run, 'restarts')))}"
    return f"{said}: {run['last_exit']}" if run["last_exit"] else said


def _retiring(status: Json) -> "list[str]":
    return [
        f"{_numbered(run)} of {str(run['commit'])[:8]} in slot {run['slot']} {run['state']} for {run['age_s']} s,"
        f" pid {run['pid']}, {run['memory_mb']} MB"
        for run in entries(status, "retiring")
    ]


def _numbered(run: Json) -> str:
    return f"{run['name']} {run['index']}"


def _jobs(status: Json) -> "list[str]":
    return [_job(job) for job in entries(status, "jobs")]


def _job(job: Json) -> str:
    said = f"{job['name']} ({job['schedule']}) next {until(str(job['next'])) if job['next'] else 'never'}"
    if job["overdue"]:
        said += ", which is overdue"
    return f"{said}; last {ago(str(job['last']))} {job['result']}" if job["last"] else f"{said}; it has not run yet"


def _shared(status: Json) -> "list[str]":
    shared = status.get("shared")
    return [f"{path} {state}" for path, state in shared.items()] if isinstance(shared, dict) else []


def _too_large(status: Json) -> "list[str]":
    found = status.get("too_large")
    return [f"{run}: {why}" for run, why in found.items()] if isinstance(found, dict) else []


def _handover(status: Json) -> "list[str]":
    reason = text(status, "handover_reason")
    return [f"not possible: {reason}"] if reason else []


def _one_offs(status: Json) -> "list[str]":
    return [
        f"{run['program']} in {str(run['commit'])[:8]} in slot {run['slot']}, pid {run['pid']}"
        for run in entries(status, "one_offs")
    ]


def _maintenance(status: Json) -> "list[str]":
    notice = status.get("maintenance")
    return [f"begun {ago(text(notice, 'since'))}: {text(notice, 'message')}"] if isinstance(notice, dict) else []


def _notices(status: Json) -> "list[str]":
    return [f"{text(one, 'target')} failed: {text(one, 'error')}" for one in entries(status, "notify") if one["error"]]


def _domains(status: Json) -> "list[str]":
    found = []
    for one in entries(status, "domains"):
        line = f"https://{text(one, 'domain')} {certificate_words.told(text(one, 'state'), text(one, 'expires'))}"
        found.append(f"{line}: {text(one, 'detail')}" if text(one, "detail") else line)
    return found


PARTS: "dict[str, Callable[[Json], list[str]]]" = {
    "app": _app,
    "live": _live,
    "health": _health,
    "candidate": _candidate,
    "preview": _preview,
    "domains": _domains,
    "maintenance": _maintenance,
    "slot": _slot,
    "uses": _usage,
    "too large": _too_large,
    "processes": _processes,
    "retiring": _retiring,
    "commands": _one_offs,
    "restarts": _restarts,
    "last exit": _last_exits,
    "handover": _handover,
    "rollback to": _rollback,
    "last attempt": _last_attempt,
    "follows": followed.branch,
    "webhook": followed.webhook,
    "jobs": _jobs,
    "shared": _shared,
    "notices": _notices,
}
"""What stands in which order. A part without lines is left out."""
