"""`init --push`: lets a repository take pushes that are deployed. A second time, it changes nothing."""

import os
import shlex
import subprocess
from pathlib import Path
from typing import NamedTuple

from slot_machine.cli.service import place
from slot_machine.core.config_file import printable
from slot_machine.core.daemon_config import DaemonConfig
from slot_machine.core.defaults import FILE_NAME
from slot_machine.core.errors import ConfigError
from slot_machine.core.git_variables import unbound
from slot_machine.host.git.branches import FOLLOWS_HEAD, HEADS, KEY
from slot_machine.host.git.worktrees import OWN_REFS
from slot_machine.host.network import ports

LIMIT_S = 60.0
OLDEST_GIT = (2, 29)
"""It has the hook `proc-receive`."""

HOOKS = ("proc-receive", "pre-receive")
MARK = "# Written by `slot-machine init --push`. See docs/push.md."

SETTINGS = (
    ("receive.procReceiveRefs", "refs/heads"),
    ("receive.advertisePushOptions", "true"),
    # Nobody sees or changes our own refs by a push.
    ("transfer.hideRefs", OWN_REFS),
    # A bare repository has no reflogs of its own accord.
    ("core.logAllRefUpdates", "true"),
)


class SetUp(NamedTuple):
    """`changed` names what was written; `config` is the daemon's file. `branch` is empty until the first push."""

    repo: Path
    config: Path
    branch: str
    changed: tuple[str, ...]


def set_up(folder: Path, config: Path | None = None) -> SetUp:
    """A bare repository is made where there is nothing. Another one needs its slot-machine.json. Raises ConfigError.

    `config`: the daemon's file, if it lies elsewhere.
    """
    changed: list[str] = []
    folder = folder.absolute()
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        _git(folder.parent, "init", "--quiet", "--bare", str(folder), made=folder)
        changed.append(str(folder))
    repo, is_bare = _repository(folder)
    config = config.resolve() if config else repo / FILE_NAME
    hooks = _hooks_folder(repo)
    if not config.exists():
        if not is_bare:
            raise ConfigError(f"there is no {FILE_NAME} in {repo}", "run `slot-machine init` there first")
        config.write_text(_configuration(repo))
        changed.append(str(config))
    changed += [str(hook) for hook in _hooks(hooks, config)]
    changed += _settings(repo, is_bare=is_bare)
    head = _git(repo, "symbolic-ref", "--quiet", "HEAD", may_fail=True).removeprefix(HEADS)
    followed = _git(repo, "config", "--get", KEY, may_fail=True)
    exists = _git(repo, "rev-parse", "--verify", "--quiet", f"{HEADS}{head}", may_fail=True)
    branch = followed if followed != FOLLOWS_HEAD else head if exists else ""
    return SetUp(repo, config, branch, tuple(changed))


def _repository(folder: Path) -> tuple[Path, bool]:
    """The top of the repository, and whether it is bare. Raises ConfigError."""
    version = tuple(map(int, _git(folder, "version").split()[2].split(".")[:2]))
    if version < OLDEST_GIT:
        need = ".".join(map(str, OLDEST_GIT))
        raise ConfigError(f"this git is too old for `init --push`: it needs {need}", "install a newer git")
    if _git(folder, "rev-parse", "--git-dir", may_fail=True) == "":
        hint = "name a folder that does not exist yet, such as /srv/shop.git, or go to the repository"
        raise ConfigError(f"{folder} is no git repository", hint)
    if _git(folder, "rev-parse", "--is-bare-repository") == "true":
        return Path(_git(folder, "rev-parse", "--absolute-git-dir")), True
    return Path(_git(folder, "rev-parse", "--show-toplevel")), False


def _hooks_folder(repo: Path) -> Path:
    """Raises ConfigError if git looks for hooks elsewhere: other repositories or a commit may have theirs there."""
    git_dir = Path(_git(repo, "rev-parse", "--path-format=absolute", "--git-common-dir"))
    found = Path(_git(repo, "rev-parse", "--path-format=absolute", "--git-path", "hooks"))
    if found.resolve() != (git_dir / "hooks").resolve():
        raise ConfigError(
            f"core.hooksPath leads git to the hooks in {found}, so it would not find ours",
            f"`git -C {shlex.quote(str(repo))} config core.hooksPath {shlex.quote(str(git_dir / 'hooks'))}`",
        )
    return found


def _hooks(folder: Path, config: Path) -> list[Path]:
    """Writes the hooks, and returns those that were changed. Raises ConfigError, before any is written."""
    program, _ = place.executable()
    wanted = {folder / name: _hook(program, config, name) for name in HOOKS}
    found = {hook: hook.read_text(errors="replace") if hook.exists() else "" for hook in wanted}
    for hook, text in found.items():
        if text and MARK not in text:
            raise ConfigError(f"{hook} is a hook of yours, so nothing was changed", "move it away, then run this again")
    folder.mkdir(exist_ok=True)
    changed = [hook for hook, text in wanted.items() if found[hook] != text or not os.access(hook, os.X_OK)]
    for hook in changed:
        new = hook.with_name(f"{hook.name}.new")
        new.write_text(wanted[hook])
        new.chmod(0o755)
        new.replace(hook)
    return changed


def _hook(program: Path, config: Path, name: str) -> str:
    argv = shlex.join([str(program), "receive", "--config", str(config), name])
    return f"#!/bin/sh\n{MARK}\nexec {argv}\n"


def _settings(repo: Path, *, is_bare: bool) -> list[str]:
    changed = []
    head = _git(repo, "symbolic-ref", "--short", "--quiet", "HEAD", may_fail=True)
    # A push detaches the HEAD of a working tree, so the branch that was chosen before counts.
    followed = FOLLOWS_HEAD if is_bare else _git(repo, "config", "--get", KEY, may_fail=True) or head
    if not followed:
        raise ConfigError(f"HEAD of {repo} is on no branch", "check out the branch whose pushes are to be deployed")
    for key, value in (*SETTINGS, (KEY, followed)):
        present = _git(repo, "config", "--get-all", key, may_fail=True).split("\n")
        # Of the others there may be several values. A branch that was chosen stays.
        if value not in present and not (key == KEY and any(present)):
            _git(repo, "config", "--add", key, value)
            changed.append(key)
    return changed


def _configuration(repo: Path) -> str:
    """Each commit brings the fields of a version; these are the ones of this machine."""
    import msgspec

    name = printable(repo.name.removesuffix(".git"))
    port, api_port = ports.free_from(DaemonConfig().port), ports.free_from(DaemonConfig().api_port)
    fields = {"name": name, "app_config": FILE_NAME, "port": port, "api_port": api_port}
    return msgspec.json.format(msgspec.json.encode(fields), indent=2).decode() + "\n"


def _git(folder: Path, *args: str, may_fail: bool = False, made: Path | None = None) -> str:
    """What git prints; empty if it fails and may. Raises ConfigError."""
    env = unbound(os.environ) | {"LC_ALL": "C"}
    try:
        done = subprocess.run(
            ["git", *args], cwd=folder, env=env, capture_output=True, text=True, timeout=LIMIT_S, check=False
        )
    except FileNotFoundError:
        if not folder.is_dir():
            raise ConfigError(f"there is no folder {folder}", "make it") from None
        raise ConfigError("git is not installed", "install git") from None
    except OSError as error:
        raise ConfigError(f"cannot use {folder}: {error.strerror}") from None
    if done.returncode and not may_fail:
        what = f"make {made}" if made else f"use the repository {folder}"
        raise ConfigError(f"cannot {what}: {done.stderr.strip()}", "run this as the user who is to own it")
    return done.stdout.strip() if done.returncode == 0 else ""
