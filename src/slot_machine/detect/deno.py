"""Deno."""

import re

from slot_machine.detect.machine import Machine
from slot_machine.detect.node import scripts
from slot_machine.detect.part import Part, Rank, Recognised
from slot_machine.detect.project import Project, table, texts
from slot_machine.detect.shell import only

ENTRIES = ("main.ts", "server.ts", "main.js", "mod.ts", "src/main.ts")


def find(project: Project, machine: Machine) -> Part | None:
    """Raises Unreadable."""
    manifest = project.first("deno.json", "deno.jsonc")
    if not manifest:
        return None
    text = project.text(manifest)
    tasks = texts(table(project.json(manifest), "tasks")) if manifest.endswith(".json") else {}
    tasks = tasks or dict(re.findall(r'"(start|build)"\s*:\s*"([^"]+)"', text))
    look = [] if machine.has("deno") else [f"deno is not installed on this machine, and {manifest} needs it"]
    start, rank = tasks.get("start", ""), Rank.SCRIPT
    entry = project.first(*ENTRIES)
    simple = only(start)
    if not start and entry:
        start, rank = f"deno run --allow-net --allow-env --allow-read {entry}", Rank.GUESS
    elif simple and scripts.is_development(simple):
        look.append(f"tasks.start is a development server ({start}): put another one there")
    sources = [text for _, text in project.sources(".ts", ".js", ".tsx")]
    return Part(
        recognised=(Recognised("Deno", project.first("deno.lock") or manifest),),
        setup="deno install --frozen" if project.has("deno.lock") else "",
        build="deno task build" if "build" in tasks else "",
        start=start,
        rank=rank if start else Rank.NONE,
        look=tuple(look),
        reads_port="$PORT" in start or not sources or any("PORT" in text for text in sources),
    )
