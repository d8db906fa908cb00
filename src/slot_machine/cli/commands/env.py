"""`env`: the variables of the app."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

import click

from slot_machine.cli import render, target
from slot_machine.cli.client import Client
from slot_machine.core.errors import EnvFileError, SlotMachineError, Unreachable
from slot_machine.host import printing

if TYPE_CHECKING:
    from slot_machine.cli.env_store import Place

HIDDEN = "`--show` shows values"

no_restart = click.option("--no-restart", is_flag=True, help="Only store it: the next start of the app applies it.")
show = click.option("--show", is_flag=True, help="Show values, too.")
in_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


@click.group("env")
def command() -> None:
    """List and change the variables of the app, in `env_file`."""


@command.command("list")
@show
@in_json
def list_(show: bool, as_json: bool) -> None:
    """List the names of all variables."""
    from slot_machine.host.process import env_file

    with _told_in_json(as_json):
        store, _, compared = _place()
        found = store.variables()
        fields, note = compared()
        if as_json:
            fields |= {"variables": found} if show else {}
            printing.result(json.dumps({"success": True, "env_file": str(store.path), "names": list(found), **fields}))
            return
        for name, value in found.items():
            printing.result(f"{name}={env_file.written(value)}" if show else name)
        if not show and sys.stderr.isatty():
            printing.note(HIDDEN)
        if note:
            printing.note(note)


@command.command("get")
@click.argument("name")
@show
@in_json
def get(name: str, show: bool, as_json: bool) -> None:
    """Tell whether the variable NAME is set, and its value with --show."""
    with _told_in_json(as_json):
        store, _, _ = _place()
        found = store.variables()
        if name not in found:
            raise EnvFileError(f"{store.path} has no {name}", "`slot-machine env list` names what it has")
        if as_json:
            value = {"value": found[name]} if show else {}
            printing.result(json.dumps({"success": True, "env_file": str(store.path), "name": name, **value}))
        elif not show:
            printing.note(f"{name} is set; {HIDDEN}")
        elif sys.stdout.isatty():
            printing.result(found[name])
        else:
            # All bytes of it, for another program.
            sys.stdout.buffer.write(found[name].encode() + b"\n")
            sys.stdout.flush()


@command.command("set")
@click.argument("assignments", nargs=-1, required=True, metavar="NAME=VALUE...")
@no_restart
def set_(assignments: tuple[str, ...], no_restart: bool) -> None:
    """Set variables, then restart the app once.

    NAME alone reads the value from a prompt that does not show it, or from standard input.
    """
    from slot_machine.cli import env_store

    new = {name: value for name, separator, value in (text.partition("=") for text in assignments) if separator}
    asked = [text for text in assignments if "=" not in text]
    if len(asked) > 1 and not sys.stdin.isatty():
        raise click.UsageError("standard input has one value: give one NAME without a value")
    store, apply, _ = _place()
    new |= {name: _value(name) for name in asked}
    changed = store.change(lambda text: env_store.with_variables(text, new))
    apply(list(new), f"set {', '.join(new)}", changed=changed, restart=not no_restart)


@command.command("unset")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@no_restart
def unset(names: tuple[str, ...], no_restart: bool) -> None:
    """Take variables out, then restart the app once."""
    from slot_machine.cli import env_store

    store, apply, _ = _place()
    changed = store.change(lambda text: env_store.without(text, names))
    apply(list(names), f"unset {', '.join(names)}", changed=changed, restart=not no_restart)


@command.command("edit")
@no_restart
def edit(no_restart: bool) -> None:
    """Edit the file in $VISUAL or $EDITOR, then restart the app once."""
    from slot_machine.host.process import env_file

    store, apply, _ = _place()
    before = store.text()
    after, names = before, list[str]()

    def edited(now: str) -> str:
        if now != before:
            raise EnvFileError("the file was changed meanwhile, so nothing was stored")
        return after

    with _draft(before) as (path, keep):
        after = _edited(path)
        try:
            new, old = env_file.variables(after), env_file.variables(before)
            names += sorted(name for name in new.keys() | old.keys() if new.get(name) != old.get(name))
            changed = store.change(edited)
        except env_file.BadLine as error:
            keep()
            raise EnvFileError(f"nothing was stored: {error}", f"your text is in {path}") from None
        except SlotMachineError as error:
            keep()
            raise EnvFileError(str(error), f"your text is in {path}") from None
    apply(names, "stored", changed=changed, restart=not no_restart and bool(names))


def _place() -> "Place":
    """Where the variables are, and how a change comes to the app. Raises SlotMachineError."""
    from slot_machine.cli import env_store

    if target.has_engine():
        from slot_machine.cli.cluster import env

        return env.place()
    client = render.client()
    return env_store.Place(env_store.found(client), partial(_apply, client))


def _value(name: str) -> str:
    if sys.stdin.isatty():
        value: str = click.prompt(name, hide_input=True, default="", show_default=False, err=True)
        return value
    return sys.stdin.buffer.read().decode(errors="surrogateescape").removesuffix("\n")


def _apply(client: Client, names: list[str], done: str, *, changed: bool, restart: bool) -> None:
    """One restart for all variables. If it fails, the old release serves on, with the old variables."""
    from slot_machine.cli import env_store, progress

    if not changed:
        printing.result("nothing has changed")
        return
    for line in env_store.notes(names):
        printing.note(line)
    if not restart:
        printing.result(f"{done}; `slot-machine restart` applies it")
        return
    try:
        known = client.status()
        if not known.get("live_commit"):
            printing.result(f"{done}; nothing is live, so the next deploy applies it")
            return
        reply = progress.follow(client.restart())
    except Unreachable as error:
        printing.result(f"{done}; the next start of the app applies it")
        printing.note(str(error))
        return
    if reply.get("success") is False:
        stage = f"{reply['stage']}: " if reply.get("stage") else ""
        why = f"{done}: stored, not applied, as the restart failed: {stage}{reply.get('error', '')}"
        hint = str(reply.get("hint") or "")
        render.fail(why, f"{hint}{'; ' if hint else ''}`slot-machine restart` tries again")
    printing.result(f"{done}; restarted")


@contextmanager
def _told_in_json(as_json: bool) -> Iterator[None]:
    try:
        yield
    except SlotMachineError as error:
        if not as_json:
            raise
        printing.result(json.dumps({"success": False, "error": str(error), "hint": error.hint}))
        sys.exit(1)


@contextmanager
def _draft(text: str) -> Iterator[tuple[str, Callable[[], None]]]:
    """A private copy to edit. It stays if `keep` is called."""
    fd, path = tempfile.mkstemp(prefix="slot-machine-", suffix=".env")
    kept = []
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(text.encode())
        yield path, lambda: kept.append(True)
    finally:
        if not kept:
            os.unlink(path)


def _edited(path: str) -> str:
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    # As git does it: the variable may have options of the editor.
    if subprocess.run(["/bin/sh", "-c", f'{editor} "$@"', editor, path], check=False).returncode:
        raise SlotMachineError(f"the editor {editor!r} failed, so nothing was stored")
    with open(path, "rb") as file:
        return file.read().decode()
