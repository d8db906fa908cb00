"""`key-session`: for sshd, not for people."""

from pathlib import Path

import click


@click.command("key-session", hidden=True)
@click.option("--config", required=True, type=click.Path(path_type=Path), help="The daemon's configuration.")
@click.option("--repo", required=True, type=click.Path(path_type=Path), help="The repository that may be pushed to.")
@click.argument("name")
def command(config: Path, repo: Path, name: str) -> None:
    """Do what the owner of a key of `keys add` has asked for, if that is allowed."""
    import os

    from slot_machine.cli import target
    from slot_machine.cli.keys import session

    app = target.of_file(str(config)).name
    session.run(session.Session(name, config, app, repo), os.environ.get("SSH_ORIGINAL_COMMAND", ""))
