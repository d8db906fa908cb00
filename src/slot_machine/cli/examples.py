"""An example or two of each command, for its help."""

import click

EXAMPLES: dict[str, tuple[str, ...]] = {
    "abort": ("slot-machine abort --message 'wrong colours'",),
    "cancel": ("slot-machine cancel",),
    "completion": (
        "slot-machine completion bash > /etc/bash_completion.d/slot-machine",
        "slot-machine completion zsh > ~/.zfunc/_slot-machine",
        "slot-machine completion fish > ~/.config/fish/completions/slot-machine.fish",
    ),
    "deploy": (
        "slot-machine deploy",
        "slot-machine deploy v1.4 --wait --message 'the new cart'",
        "slot-machine deploy --hold",
    ),
    "doctor": ("slot-machine doctor", "slot-machine doctor -- --config /etc/shop.json"),
    "edge": ("slot-machine edge status",),
    "edge check": ("slot-machine edge check",),
    "edge install": ("sudo slot-machine edge install",),
    "edge remove": ("sudo slot-machine edge remove shop.example.com",),
    "edge start": ("sudo slot-machine edge start",),
    "edge status": ("slot-machine edge status", "sudo slot-machine edge status --json"),
    "edge upgrade": ("sudo slot-machine edge upgrade",),
    "engine": ("slot-machine engine check",),
    "engine check": ("slot-machine engine check", "slot-machine engine check --json"),
    "env": ("slot-machine env list", "slot-machine env set LOG_LEVEL=debug"),
    "env edit": ("EDITOR=nano slot-machine env edit",),
    "env get": ("slot-machine env get LOG_LEVEL --show",),
    "env list": ("slot-machine env list --show",),
    "env set": ("slot-machine env set LOG_LEVEL=debug CACHE=off", "slot-machine env set API_TOKEN < token"),
    "env unset": ("slot-machine env unset CACHE",),
    "exec": ("slot-machine exec -- bin/rails console",),
    "help": ("slot-machine help", "slot-machine help deploys"),
    "history": ("slot-machine history -n 5", "slot-machine history --json"),
    "init": ("slot-machine init --dry-run", "slot-machine init --push /srv/shop.git"),
    "export": ("slot-machine export swarm", "slot-machine export kubernetes deploy/ --with-release"),
    "install": ("sudo slot-machine install --user shop",),
    "keys": ("slot-machine keys add ada < ada.pub",),
    "keys add": ("slot-machine keys add ada < ada.pub",),
    "keys list": ("slot-machine keys list",),
    "keys remove": ("slot-machine keys remove ada",),
    "list": ("slot-machine list", "slot-machine list --json"),
    "ls": ("slot-machine ls",),
    "logs": ("slot-machine logs -f", "slot-machine logs --since 10m --process worker"),
    "maintenance": ("slot-machine maintenance on --message 'Back at 10:00.'",),
    "maintenance off": ("slot-machine maintenance off",),
    "maintenance on": ("slot-machine maintenance on --message 'Back at 10:00.'",),
    "notify": ("slot-machine notify test",),
    "notify test": ("slot-machine notify test",),
    "promote": ("slot-machine promote", "slot-machine promote --share 10%"),
    "reload": ("slot-machine reload", "slot-machine reload --all"),
    "restart": ("slot-machine restart --message 'a new certificate'",),
    "rollback": ("slot-machine rollback", "slot-machine rollback 1a2b3c4d", "slot-machine rollback 17"),
    "run": ("slot-machine run -- bin/rails console", "slot-machine run"),
    "show": ("slot-machine show", "slot-machine show 17 --json"),
    "start": ("slot-machine start", "slot-machine start --config /etc/shop.json --repo /srv/shop"),
    "stats": ("slot-machine stats --since 2h",),
    "status": ("slot-machine status", "slot-machine status -a shop --json"),
    "top": ("slot-machine top",),
    "uninstall": ("sudo slot-machine uninstall --name shop",),
    "version": ("slot-machine version",),
    "webhook": ("slot-machine webhook",),
}


def give(name: str, command: click.Command) -> None:
    """Also to the commands below it."""
    lines = EXAMPLES.get(name, ())
    if lines:
        command.epilog = "\n".join(
            ["\b", "Examples:" if len(lines) > 1 else "Example:", *(f"  {line}" for line in lines)]
        )
    if isinstance(command, click.Group):
        for below in command.commands.values():
            give(f"{name} {below.name}", below)
