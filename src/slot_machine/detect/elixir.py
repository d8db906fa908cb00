"""Elixir: Phoenix, and other apps of Mix."""

import re

from slot_machine.detect.machine import Machine
from slot_machine.detect.part import Part, Rank, Recognised, chained
from slot_machine.detect.project import Project

SETUP = "mix local.hex --force && mix local.rebar --force && MIX_ENV=prod mix deps.get --only prod"


def find(project: Project, machine: Machine) -> Part | None:
    manifest = project.text("mix.exs")
    if not manifest:
        return None
    phoenix = re.search(r"\{:phoenix,", manifest) is not None
    assets = "MIX_ENV=prod mix assets.deploy" if '"assets.deploy"' in manifest else ""
    required = re.findall(r"System\.(?:get_env|fetch_env!)\(\"(\w+)\"\)", project.text("config/runtime.exs"))
    required = [
        name for name in dict.fromkeys(required) if name in ("DATABASE_URL", "SECRET_KEY_BASE", "DATABASE_PATH")
    ]
    missing = [name for name in required if f"{name}=" not in project.on_disk(".env")]
    look = [] if machine.has("mix") else ["mix is not installed on this machine, and mix.exs needs it"]
    if missing:
        look.append(f"set {', '.join(missing)} in env_file: config/runtime.exs asks for it")
    return Part(
        recognised=(Recognised("Phoenix" if phoenix else "Elixir", "mix.exs"),),
        setup=SETUP,
        build=chained(["MIX_ENV=prod mix compile", assets]),
        release="MIX_ENV=prod mix ecto.migrate" if "ecto_sql" in manifest else "",
        start="PHX_SERVER=true MIX_ENV=prod mix phx.server" if phoenix else "MIX_ENV=prod mix run --no-halt",
        rank=Rank.BACKEND if phoenix else Rank.APP,
        asset_dirs=("priv/static/assets",) if assets else (),
        look=tuple(look),
    )
