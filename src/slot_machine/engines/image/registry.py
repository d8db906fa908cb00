"""Brings an image to the user's registry."""

import re

from slot_machine.core.errors import StageFailed
from slot_machine.core.phases import Phase
from slot_machine.engines.client import Client
from slot_machine.engines.engine import Steps

LIMIT_S = 1800.0
MOST_LINES = 20
DIGEST = re.compile(r"digest: (sha256:[0-9a-f]{64})")
PROGRESS = re.compile(r"^[0-9a-f]{12}: (Preparing|Waiting|Pushing)")
WORDS = (
    (r"unauthorized|authentication required|no basic auth", "log in: `docker login {host}`"),
    (
        r"denied|forbidden",
        "log in as somebody who may push there (`docker login {host}`); see that the repository exists",
    ),
    (r"no such host|server misbehaving", "there is no such host: correct `registry`"),
    (r"refused|no route to host|i/o timeout|unreachable|deadline exceeded|EOF", "{host} does not answer"),
    (r"x509|certificate|HTTP response to HTTPS", "docker does not trust {host}: give docker its certificate"),
    (r"no space left|disk quota", "the registry is full"),
)
"""What docker says, and what to do then. The first one counts."""


def push(docker: Client, image: str) -> Steps:
    """Returns what is there now, such as `sha256:...`. Raises StageFailed.

    An image that is not here may be there already: an older one, or one for several platforms.
    """
    if docker.attempt("image", "inspect", "--format", "{{.Id}}", image).code and _is_there(docker, image):
        return "it is there already"
    lines = docker.lines("push", image, limit_s=LIMIT_S)
    last: list[str] = []
    try:
        while True:
            try:
                line = next(lines)
            except StopIteration as end:
                code = int(end.value)
                break
            last = [*last, line][-MOST_LINES:]
            if line.strip() and not PROGRESS.match(line):
                yield line
    finally:
        lines.close()
    if code:
        raise StageFailed(Phase.BUILD, f"docker can't push {image}", tuple(last), hint=advice("\n".join(last), image))
    digest = DIGEST.search("\n".join(last))
    return digest[1] if digest else ""


def _is_there(docker: Client, image: str) -> bool:
    """A registry without TLS has to be asked for explicitly."""
    return any(docker.attempt("manifest", "inspect", *option, image).code == 0 for option in ((), ("--insecure",)))


def advice(said: str, image: str) -> str:
    """What to do about an error of a registry; empty if it is not known."""
    host = image.partition("/")[0]
    return next((words.format(host=host) for pattern, words in WORDS if re.search(pattern, said, re.IGNORECASE)), "")
