"""What `init --push` prints."""

import json
import os
import shlex

from slot_machine.cli.push.set_up import SetUp
from slot_machine.host import printing
from slot_machine.host.user import account

REMOTE = "production"


def report(done: SetUp, *, as_json: bool) -> None:
    remote = f"{account.name(os.geteuid())}@{os.uname().nodename}:{done.repo}"
    add = f"git remote add {REMOTE} {shlex.quote(remote)}"
    if as_json:
        fields = {
            "repository": str(done.repo),
            "config": str(done.config),
            "branch": done.branch,
            "remote": remote,
            "changed": list(done.changed),
        }
        printing.result(json.dumps(fields, indent=2))
        return
    printing.result(add)
    for path in done.changed:
        printing.note(f"wrote {path}" if "/" in path else f"set {path} in its git configuration")
    if not done.changed:
        printing.note(f"{done.repo} was set up before, and nothing was changed")
    elsewhere = "" if done.config.parent == done.repo else f" --repo {shlex.quote(str(done.repo))}"
    printing.note(f"the daemon: slot-machine start --config {shlex.quote(str(done.config))}{elsewhere}")
    printing.note("in your working copy: the line above, once, and then")
    printing.note(f"git push {REMOTE} {done.branch or 'main'}")
    if not done.branch:
        printing.note("the first branch that is pushed is deployed, or the one in `push_branch`")
    else:
        printing.note(f"a push of {done.branch} is deployed; other branches are stored only")
