"""Pushes a commit to the repository of an app on a server."""

import json
import os
import shlex
import subprocess
import sys

from slot_machine.cli import here
from slot_machine.cli.remote import failure, running, ssh
from slot_machine.cli.remote.call import spoken
from slot_machine.core.errors import GitFailed, RemoteFailed
from slot_machine.core.git_variables import unbound
from slot_machine.core.hosts import Server
from slot_machine.host import printing

REFS = "refs/slot-machine-pushed"
"""One ref for each commit: no branch moves, and a later rollback finds the commit.

Not below refs/slot-machine, where the server's own refs may be hidden from pushes (`transfer.hideRefs`).
"""
ROOT = "root"


def push(server: Server, commit: str, *, quiet: bool) -> None:
    """Over the connection that ssh keeps. Raises RemoteFailed, GitFailed."""
    repo, owner = _repository(server)
    if not quiet:
        printing.note(f"pushing {commit[:8]} to {server.host}")
    program = _program_as(owner, server)
    # The hooks of the repository here run, as for any push: that of Git LFS uploads files.
    argv = [
        *("git", "push", "--no-follow-tags", "--recurse-submodules=no", "--no-signed"),
        *(("--quiet", "--progress") if sys.stderr.isatty() and not quiet else ("--quiet",)),
        *([f"--receive-pack={program}"] if program else []),
        *("--", server.url(repo), f"{commit}:{REFS}/{commit}"),
    ]
    env = unbound(os.environ) | {"GIT_SSH_COMMAND": shlex.join(ssh.program(server)), "GIT_SSH_VARIANT": "ssh"}
    # What git prints goes to stderr: stdout is for the result.
    done = subprocess.run(argv, env=env, stdin=subprocess.DEVNULL, stdout=sys.stderr.fileno(), check=False)
    if done.returncode:
        raise _failure(server, commit, repo, owner)


def _repository(server: Server) -> tuple[str, str]:
    """Its path, and who owns it. Raises RemoteFailed."""
    code, text = ssh.captured(server, spoken(server, "status", "--json"))
    running.check_program(server, code)
    try:
        status = json.loads(text.splitlines()[-1])
        if status.get("success") is False:
            raise RemoteFailed(f"{server.host}: {status.get('error')}", str(status.get("hint", "")))
        return str(status["repo"]), str(status["repo_user"])
    except (ValueError, IndexError, KeyError, AttributeError):
        raise failure.outdated(server, "its status does not tell where the repository is") from None


def _program_as(owner: str, server: Server) -> str:
    """Root does not write into another user's repository: that user could not write there any more.

    Empty for the usual program, which may be all that a key allows.
    """
    if owner in ("", ROOT) or ssh.login_user(server) != ROOT:
        return ""
    return shlex.join(["runuser", "-u", owner, "--", "git-receive-pack"])


def _failure(server: Server, commit: str, repo: str, owner: str) -> GitFailed:
    if here.is_shallow():
        hint = "this clone is shallow, so it can't push: `git fetch --unshallow`, in CI fetch-depth: 0"
    else:
        hint = f"git tells above why; {repo} belongs to {owner or 'another user'}: connect as that user"
    return GitFailed(f"cannot push {commit[:8]} to {repo} on {server.host}, so it was not deployed", hint)
