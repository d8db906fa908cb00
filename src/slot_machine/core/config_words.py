"""What is wrong with a field of `slot-machine.json`, in words, where msgspec has found it."""

import re
from typing import get_args

from slot_machine.core.fields import EventName

A_PATH = "expected a path that begins with /, of ASCII characters without spaces; others are written as in /caf%C3%A9"

PATTERNS = {
    "health_endpoint": A_PATH,
    "rehearse": A_PATH,
    "health_status": 'expected a status or a range, such as 200 or "200-399"',
    "health_host": "expected a host name, without spaces",
    "processes": "expected names of a-z, 0-9, - and _ that begin with a letter",
    "push_branch": "expected the name of a branch, such as main, without refs/heads/",
    "cron": "expected names of a-z, 0-9, - and _ that begin with a letter",
    "follow.remote": "expected the name or the address of a remote, such as origin",
    "follow.branch": "expected the name of a branch, such as main",
    "webhook.path": "expected a path that begins with /, of ASCII characters without spaces, ? and #",
    "webhook.secret_env": "expected the name of a variable, such as HOOK_SECRET",
    "base_image": "expected the name of an image, such as python:3.12-slim",
    "engine.context": "expected the name of a context, as `docker context ls` or `kubectl config get-contexts` has it",
    "engine.registry": "expected a host and a path, such as registry.example.com/team",
    "engine.namespace": "expected the name of a namespace: a-z, 0-9 and -",
    "engine.gateway": "expected NAMESPACE/NAME of a Gateway",
    "engine.nfs": "expected SERVER:/PATH",
    "engine.nodes": "expected where ssh reaches the node, such as deploy@10.0.0.2",
    "engine": "expected a name of a-z, 0-9, - and .",
    "webhook.domain": "expected a host name, such as shop.example.com",
    "public_url": "expected an address without a path, such as https://shop.example.com",
    "share_cookie": "expected the name of a cookie",
}
"""What is expected where a field's pattern does not match."""


def in_words(error: str) -> str:
    """msgspec's message with the field first: ``port: expected `int`, got `str` ``."""
    what, _, where = error.replace("`key` in `$", "`$").partition(" - at `$.")
    missing = re.fullmatch(r"Object missing required field `(\w+)`", what)
    if missing:
        return f"{where.rstrip('`')}{'.' if where else ''}{missing[1]} is missing"
    if not where:
        return what
    if unknown := re.fullmatch(r"Object contains unknown field `(\w*)`", what):
        what = f"there is no field {unknown[1]!r} in it"
    if what.startswith("Invalid enum value") and where.startswith("hooks"):
        what = f"expected one of {', '.join(get_args(EventName))}, not {what.rpartition(' ')[2]}"
    if what.startswith("Invalid enum value") and where.startswith("rehearse"):
        what = f'expected a list of paths, or "recent", not {what.rpartition(" ")[2]}'
    if where.startswith("engine.kind") and what.startswith("Invalid value"):
        what = f'expected "swarm" or "kubernetes", not {what.split()[-1]}'
    if "matching regex" in what:
        what = next((words for field, words in PATTERNS.items() if where.startswith(field)), what)
    return f"{where.rstrip('`')}: {what[0].lower()}{what[1:]}"
