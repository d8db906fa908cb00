"""What has to be entered at each forge, so that it calls the webhook after a push."""

from collections.abc import Iterator

from slot_machine.cli import words
from slot_machine.cli.client import Json
from slot_machine.cli.words import ago, text

JSON = "application/json"
IN_CLEAR = (
    "warning: over http, the token that GitLab and curl send can be read on the way. GitHub, Gitea and Forgejo send a"
    " signature. `domain` in `webhook` is for a server with HTTPS in front"
)


def lines(hook: Json) -> Iterator[str]:
    """`hook` is `webhook` of the status."""
    address, secret = text(hook, "url"), f"what {text(hook, 'secret_env')} is"
    parts = {
        "address": [address],
        "secret": [f"{secret} in env_file, else in the daemon's environment"],
        "calls": list(calls(hook)),
        "GitHub": [
            "Settings, Webhooks, Add webhook",
            f"Payload URL: {address}",
            f"Content type: {JSON}",
            f"Secret: {secret}",
            "Which events: just the push event",
        ],
        "GitLab": [
            "Settings, Webhooks, Add new webhook",
            f"URL: {address}",
            f"Secret token: {secret}",
            f"Trigger: push events. The content type is {JSON} anyway",
        ],
        "Gitea": [
            "and Forgejo: Settings, Webhooks, Add webhook",
            f"Target URL: {address}",
            "HTTP method: POST",
            f"Content type: {JSON}",
            f"Secret: {secret}",
            "Trigger on: push events",
        ],
        "others": [f'curl -X POST -H "Authorization: Bearer ${text(hook, "secret_env")}" {address}'],
    }
    for name, part in parts.items():
        yield words.row(name, part)


def calls(hook: Json) -> Iterator[str]:
    """What came so far."""
    if error := text(hook, "error"):
        yield f"it does not listen: {error}"
    accepted = text(hook, "accepted_at")
    yield f"the last one {ago(accepted)}" if accepted else "none yet"
    if hook.get("refused"):
        yield f"{hook['refused']} refused, the last one {ago(text(hook, 'refused_at'))}: {text(hook, 'refused_why')}"


def doubts(hook: Json) -> Iterator[str]:
    """Why the forge may not reach the address, and what is not safe about it."""
    scheme, _, rest = text(hook, "url").partition("://")
    host = rest.partition("/")[0].rpartition(":")[0]
    if scheme == "http":
        if "." not in host and ":" not in host:
            yield f"warning: {host} is this machine's own name. If the forge knows another one, set public_url"
        yield IN_CLEAR
