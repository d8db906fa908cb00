"""What `status` tells of an app on a cluster."""

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator

from slot_machine import __version__
from slot_machine.cli import status, status_words, words
from slot_machine.cli.client import Json
from slot_machine.cli.cluster import subject
from slot_machine.cli.cluster.history import fields
from slot_machine.cli.words import ago, commit, entries, text
from slot_machine.core import engine_config
from slot_machine.core.errors import EnvFileError
from slot_machine.engines.engine import Copy, Engine, Status
from slot_machine.engines.release import Release, numbered
from slot_machine.engines.source import Source
from slot_machine.host import printing

SHOWN_COPIES = 20


def run(*, as_json: bool, again: bool = False) -> None:
    source = subject.source()
    engine = subject.engine(source)
    if again:
        sys.exit(status.watched(lambda: gathered(source, engine), lines))
    sys.exit(show(source, engine, as_json=as_json))


def show(source: Source, engine: Engine, *, as_json: bool) -> int:
    """Prints it, and returns the exit code."""
    found = gathered(source, engine)
    if as_json:
        printing.result(json.dumps(found))
    else:
        for line in lines(found):
            printing.result(line)
    return status.HEALTHY if found["healthy"] else status.UNHEALTHY


def gathered(source: Source, engine: Engine) -> Json:
    """Fields that a daemon's status has, too, have the same names. Raises EngineFailed."""
    found, releases = engine.status(), engine.releases()
    live = found.live
    release = numbered(releases, live.release) if live else None
    digest, unreadable = _digest(source)
    return {
        "name": source.name,
        "version": __version__,
        "engine": engine_config.kind(source.engine),
        "context": source.engine.context,
        "commit": live.commit if live else "",
        "release": live.release if live else 0,
        "live_commit": live.commit if live else "",
        "live_subject": release.subject if release else "",
        "live_author": release.author if release else "",
        "live_ref": release.ref if release else "",
        "last_deploy_time": release.started_at if release else "",
        "healthy": found.healthy,
        "unhealthy_reason": "" if found.healthy else _reason(found),
        "copies": [_copy(copy) for copy in found.copies],
        "wanted": found.wanted,
        "updating": found.updating,
        "maintenance": bool(live and live.maintenance),
        "domains": list(source.daemon.domains),
        "env_changed": bool(live and not unreadable and live.env_digest != digest),
        "last_attempt": _last(releases),
        "notes": [*found.notes, *([unreadable] if unreadable else [])],
    }


def _last(releases: list[Release]) -> Json | str:
    return fields(releases[0]) if releases else ""


def _digest(source: Source) -> tuple[str, str]:
    """Of `env_file` as it is here; or why it can't be read."""
    try:
        return source.values().digest, ""
    except EnvFileError as error:
        return "", str(error)


def _copy(copy: Copy) -> Json:
    return {name: getattr(copy, name) for name in Copy.__struct_fields__}


def _reason(found: Status) -> str:
    if not found.live:
        return "nothing is live"
    good = Counter(copy.process for copy in found.copies if copy.healthy and copy.commit == found.live.commit)
    lacking = [f"{good[name]} of {count} {name}" for name, count in found.wanted.items() if good[name] < count]
    errors = [copy.error for copy in found.copies if copy.error]
    return f"healthy are {', '.join(lacking)}{': ' if errors else ''}{errors[0] if errors else ''}"


def lines(found: Json) -> list[str]:
    shown = ((name, list(part(found))) for name, part in PARTS.items())
    return [words.row(name, part) for name, part in shown if part]


def _app(found: Json) -> Iterator[str]:
    where = f", context {text(found, 'context')}" if text(found, "context") else ""
    yield f"{text(found, 'name')} on {text(found, 'engine')}{where}, slot-machine {text(found, 'version')}"


def _live(found: Json) -> Iterator[str]:
    if not text(found, "live_commit"):
        yield "nothing; `slot-machine deploy` makes a commit live"
        return
    yield words.cut(commit(found, "live_"), words.columns() - words.LABEL)
    since, author = ago(text(found, "last_deploy_time")), text(found, "live_author")
    number = f"release {found['release']}" if found["release"] else "no release of ours"
    yield ", ".join(filter(None, [number, f"begun {since}" if since else "", f"by {author}" if author else ""]))


def _health(found: Json) -> Iterator[str]:
    if found["healthy"]:
        yield "healthy"
    elif text(found, "live_commit"):
        yield f"UNHEALTHY: {text(found, 'unhealthy_reason')}"
    if found["updating"]:
        yield "a rollout goes on"


def _copies(found: Json) -> Iterator[str]:
    copies = entries(found, "copies")
    several = len({text(copy, "process") for copy in copies}) > 1
    for copy in copies[:SHOWN_COPIES]:
        where = f" on {text(copy, 'node')}" if text(copy, "node") else ""
        since = f", {ago(text(copy, 'since'))}" if text(copy, "since") else ""
        health = "" if copy["healthy"] else ", not healthy"
        error = f": {text(copy, 'error')}" if text(copy, "error") else ""
        name = f"{text(copy, 'process')} {text(copy, 'id')}" if several else text(copy, "id")
        yield f"{name} {text(copy, 'commit')[:8]} {text(copy, 'state')}{where}{since}{health}{error}"
    if len(copies) > SHOWN_COPIES:
        yield f"and {len(copies) - SHOWN_COPIES} more; --json has all of them"


def _domains(found: Json) -> Iterator[str]:
    domains = found["domains"]
    yield from (f"https://{domain}" for domain in domains) if isinstance(domains, list) else ()


def _maintenance(found: Json) -> Iterator[str]:
    if found["maintenance"]:
        yield "visitors get 503; `slot-machine maintenance off` ends it"


def _variables(found: Json) -> Iterator[str]:
    if found["env_changed"]:
        yield "env_file has changed; `slot-machine restart` brings it to the cluster"


def _attempt(found: Json) -> Iterator[str]:
    last = found["last_attempt"]
    if isinstance(last, dict):
        yield status_words.attempt(last)


def _notes(found: Json) -> Iterator[str]:
    notes = found["notes"]
    yield from map(str, notes if isinstance(notes, list) else ())


PARTS: dict[str, Callable[[Json], Iterator[str]]] = {
    "app": _app,
    "live": _live,
    "health": _health,
    "copies": _copies,
    "domains": _domains,
    "maintenance": _maintenance,
    "variables": _variables,
    "last attempt": _attempt,
    "note": _notes,
}
"""What stands in which order. A part without lines is left out."""
