"""What `status` says of a branch that is followed, and of its webhook. Imports almost nothing, as `status` does."""

from slot_machine.cli import words
from slot_machine.cli.client import Json
from slot_machine.cli.words import ago, number, span, text

LONGEST_NAME = 40
"""In columns."""


def branch(status: Json) -> "list[str]":
    follow = status.get("follow")
    if not isinstance(follow, dict):
        return []
    name, commit = words.cut(text(follow, "branch"), LONGEST_NAME), text(follow, "commit")[:8]
    seen = f"looked {ago(text(follow, 'looked_at'))}" if text(follow, "looked_at") else "it has not looked yet"
    found = [f"{name} of {words.cut(text(follow, 'remote'), LONGEST_NAME)}, {seen}"]
    if commit:
        found.append(f"{name} is at {commit}, {text(follow, 'reason')}")
    if follow.get("unusable"):
        found.append("no deploy of it can succeed: correct it in another commit")
    elif follow.get("state") in ("left_out", "not_forward"):
        found.append(f"`slot-machine deploy {commit}` deploys it all the same")
    if text(follow, "error"):
        again = f", and it looks again in {span(number(follow, 'next_s'))}" if follow.get("next_s") else ""
        found += [f"the last look FAILED{again}: {text(follow, 'error')}", *filter(None, [text(follow, "hint")])]
    return found


def webhook(status: Json) -> "list[str]":
    hook = status.get("webhook")
    if not isinstance(hook, dict):
        return []
    accepted, refused = text(hook, "accepted_at"), int(number(hook, "refused"))
    called = f"called {ago(accepted)}" if accepted else "not called yet"
    found = [f"{text(hook, 'url')}, {called}"]
    if refused:
        found.append(f"{refused} refused, last {ago(text(hook, 'refused_at'))}: {text(hook, 'refused_why')}")
    return [*found, f"FAILED, it does not listen: {text(hook, 'error')}"] if text(hook, "error") else found
