"""What objects of an app are called, and the labels and annotations by which they are found."""

import hashlib

from slot_machine.core.errors import Impossible
from slot_machine.core.model import short
from slot_machine.engines.shape import App

OWN = "slot-machine.dev"
APP = f"{OWN}/app"
PROCESS = f"{OWN}/process"
COMMIT = f"{OWN}/commit"
RELEASE = f"{OWN}/release"
ENV_DIGEST = f"{OWN}/env-digest"
MAINTENANCE = f"{OWN}/maintenance"
ENDED = f"{OWN}/ended"

WEB = "web"
RELEASING = "release"
RECORD = "record"
RUN = "run"
CRON = "cron"
ENV = "env"

MANAGER = "slot-machine"
"""Of the fields that we apply."""

LONGEST = 63
"""Of a Service, a label's value, or the host name of a pod (RFC 1123)."""
LONGEST_CRON_JOB = 52
"""A CronJob adds 11 characters to its name for each Job."""
LONGEST_DEPLOYMENT = 46
"""A Deployment adds up to 17 characters to its name for each pod. The name of the pod is its host name."""
DIGEST = 6


def named(*parts: str, most: int = LONGEST) -> str:
    """The parts with hyphens between them. A name that is too long ends in a digest of the whole."""
    whole = "-".join(plain(part) for part in parts)
    if len(whole) <= most:
        return whole
    digest = hashlib.sha256(whole.encode()).hexdigest()[:DIGEST]
    return f"{whole[: most - DIGEST - 1].rstrip('-')}-{digest}"


def deployment(app: App, process: str) -> str:
    return app.name if process == WEB else named(app.name, process, most=LONGEST_DEPLOYMENT)


def cron_job(app: App, job: str) -> str:
    return named(app.name, CRON, job, most=LONGEST_CRON_JOB)


def release_job(app: App) -> str:
    """Of the commit and the attempt: a Job that failed keeps its name until it is removed."""
    return named(app.name, RELEASING, short(app.commit), str(app.release))


def record(name: str, number: int) -> str:
    return f"{name}-release-{number}"


def env_secret(name: str, digest: str) -> str:
    return f"{name}-env-{digest}"


def volume_claim(app: App) -> str:
    return f"{app.name}-shared"


def tls_secret(app: App) -> str:
    return f"{app.name}-tls"


def plain(process: str) -> str:
    """As a label has it: names of objects have no `_`, so ours have none either."""
    return process.replace("_", "-").strip("-")


def selector(app: App, process: str) -> dict[str, object]:
    """What never changes, because the selector of a Deployment can't."""
    return {APP: app.name, PROCESS: plain(process)}


def labels(app: App, process: str) -> dict[str, object]:
    """Of one version."""
    return common(app.name, process) | {
        "app.kubernetes.io/version": short(app.commit),
        COMMIT: app.commit,
        RELEASE: str(app.release),
    }


def common(name: str, process: str) -> dict[str, object]:
    """Of objects that belong to no version, too."""
    component = plain(process)
    return {
        "app.kubernetes.io/name": name,
        "app.kubernetes.io/instance": name,
        "app.kubernetes.io/component": component,
        "app.kubernetes.io/managed-by": MANAGER,
        APP: name,
        PROCESS: component,
    }


def check(app: App) -> None:
    """Raises Impossible for two processes or jobs that would have one name."""
    for field, found in (("processes", app.version.workers), ("cron", app.version.cron)):
        seen: dict[str, str] = {}
        for name in found:
            label = plain(name)
            if label in seen or (field == "processes" and label in (WEB, RELEASING, RECORD, RUN, CRON, ENV)):
                other = seen.get(label, label)
                raise Impossible(f"{field}: on Kubernetes {name!r} and {other!r} have the same name", "rename one")
            seen[label] = name
