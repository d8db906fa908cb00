"""`keys`."""

import json
import sys
from pathlib import Path

import click

from slot_machine.cli import target
from slot_machine.host import printing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from slot_machine.cli.keys.authorized import Keys


FILE = click.option(
    "--file", type=click.Path(path_type=Path), help="What sshd reads. Default: your ~/.ssh/authorized_keys"
)


@click.group("keys", invoke_without_command=False)
def command() -> None:
    """Ssh keys that may push to this app, and run deploy, status, logs and rollback."""


@command.command("add")
@click.argument("name")
@FILE
def add(name: str, file: Path | None) -> None:
    """Let the public key on standard input push, as NAME in the history."""
    from slot_machine.cli.keys import public_key

    if sys.stdin.isatty():
        raise click.UsageError(f"the key is read from standard input: {public_key.HINT}")
    key = public_key.read(sys.stdin.buffer.read(public_key.LARGEST).decode(errors="replace"))
    _keys(file).add(name, key)
    printing.result(f"added {name}: {public_key.fingerprint(key)}")


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print the keys as JSON.")
@FILE
def list_(as_json: bool, file: Path | None) -> None:
    """List the keys of this app."""
    from slot_machine.cli.keys import public_key

    found = {entry.name: public_key.fingerprint(entry.key) for entry in _keys(file).list()}
    if as_json:
        keys = [{"name": name, "fingerprint": fingerprint} for name, fingerprint in found.items()]
        printing.result(json.dumps({"success": True, "keys": keys}))
        return
    for name, fingerprint in found.items():
        printing.result(f"{name}  {fingerprint}")
    if not found:
        printing.note("no key was added for this app")


@command.command("remove")
@click.argument("name")
@FILE
def remove(name: str, file: Path | None) -> None:
    """Remove the key of NAME. Connections that are open go on."""
    _keys(file).remove(name)
    printing.result(f"removed {name}")


def _keys(file: Path | None) -> "Keys":
    """Raises ConfigError."""
    from slot_machine.cli import daemons
    from slot_machine.cli.keys import authorized
    from slot_machine.cli.service import place
    from slot_machine.core.errors import ConfigError
    from slot_machine.host import registry

    if app := target.chosen():
        entry = daemons.called(app)
        config, repo = Path(entry.files[0]), Path(entry.repo)
    elif found := target.configuration():
        config = Path(found).resolve()
        repos = [Path(entry.repo) for entry in registry.running() if str(config) in entry.files]
        repo = repos[0] if repos else config.parent
    else:
        raise ConfigError("there is no slot-machine.json here", "go to its folder, such as that of the repository")
    program, _ = place.executable()
    return authorized.Keys(file or authorized.own_file(), config, program, repo)
