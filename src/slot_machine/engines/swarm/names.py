"""What the objects of an app are called on a swarm, and the labels by which they are found. Pure."""

from slot_machine.engines.shape import App

PREFIX = "slot-machine"
APP = f"{PREFIX}.app"
PROCESS = f"{PREFIX}.process"
COMMIT = f"{PREFIX}.commit"
RELEASE = f"{PREFIX}.release"
ENV = f"{PREFIX}.env"
"""The digest of the variables; on secrets too."""
MAINTENANCE = f"{PREFIX}.maintenance"
"""On a web service that is under maintenance."""
ENDS = f"{PREFIX}.ends"
"""On a job: when its time limit has passed, in RFC 3339."""

WEB = "web"

STACK = "com.docker.stack.namespace"
"""The label by which Docker knows the objects of a stack."""


def labels(app: App, process: str) -> dict[str, str]:
    """Of a service and of its tasks."""
    made = {APP: app.name, PROCESS: process, COMMIT: app.commit, RELEASE: str(app.release)}
    return made | {ENV: app.env_digest} if app.env_digest else made


def service(app: str, process: str) -> str:
    """As `docker stack deploy` calls it."""
    return f"{app}_{process}"


def network(app: str) -> str:
    return f"{app}_default"


def secret(app: str, digest: str) -> str:
    return f"{app}-env-{digest}"


def secret_labels(app: str, digest: str) -> dict[str, str]:
    return {APP: app, ENV: digest}


def record(app: str, number: int) -> str:
    return f"{app}-release-{number}"


def ending(app: str, number: int) -> str:
    """Of the record that says how a release ended."""
    return f"{record(app, number)}-end"


def volume(app: str) -> str:
    return f"{app}-shared"


def image_label(app: str, commit: str) -> str:
    """Of a node that was given the image of that commit, where there is no registry."""
    return f"{PREFIX}.image.{app}-{commit[:12]}"


def data_label(app: str) -> str:
    """Of the node that has the app's local volumes."""
    return f"{PREFIX}.data.{app}"
