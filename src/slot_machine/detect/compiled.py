"""Go and Rust: a program that a build makes."""

import re
from pathlib import PurePosixPath

from slot_machine.detect.machine import Machine
from slot_machine.detect.part import Part, Rank, Recognised
from slot_machine.detect.project import Project, table
from slot_machine.detect.versions import mismatch

SERVERS = ("server", "web", "api", "app", "http", "serve")
"""Names of programs that are more likely a server than a tool."""
PORT_FLAGS = re.compile(r"flag\.(?:Int|String|Uint)(?:Var)?\((?:&[\w.]+,\s*)?\"((?:http[-.]?)?(?:port|p))\"")
ADDRESS_FLAGS = re.compile(
    r"flag\.String(?:Var)?\((?:&[\w.]+,\s*)?\"((?:http[-.]?)?(?:addr|address|listen|bind|http))\""
)
ROCKET = "ROCKET_ADDRESS=127.0.0.1 ROCKET_PORT=$PORT "


def find_go(project: Project, machine: Machine) -> Part | None:
    if not project.has("go.mod"):
        return None
    sources = dict(project.sources(".go"))
    mains = [name for name, text in sources.items() if _is_main(text)]
    folders = sorted({str(PurePosixPath(name).parent) for name in mains}, key=lambda folder: _likely(folder, project))
    wanted = re.search(r"^go\s+([\d.]+)", project.text("go.mod"), re.MULTILINE)
    version = ".".join(wanted[1].split(".")[:2]) if wanted else ""
    old = mismatch(machine, "go", f">={version}" if version else "", "go.mod")
    recognised = (Recognised("Go", "go.mod"),)
    setup = "" if project.has("vendor/modules.txt") or not project.has("go.sum") else "go mod download"
    look = [old] if old else []
    if not folders:
        return Part(recognised, setup=setup, look=(*look, "go.mod is there, but no package main with a func main"))
    folder = folders[0]
    name = module_name(project) if folder == "." else PurePosixPath(folder).name
    said = [f"build_command builds {folder}; there are also {', '.join(folders[1:])}"] if folders[1:] else []
    flag, reads = _port_of(sources.values())
    if flag:
        said.append(
            f"the program takes its port by the flag{flag.split('=')[0].split(' ')[0] and ' ' + flag.split(' ')[1]}"
        )
    return Part(
        recognised,
        setup=setup,
        build=f"go build -o bin/{name} {'.' if folder == '.' else './' + folder}",
        start=f"bin/{name}{flag}",
        rank=Rank.APP,
        guessed=tuple(said),
        look=tuple(look),
        reads_port=reads or bool(flag),
    )


def module_name(project: Project) -> str:
    """What `go install` calls the program of the module: the last part of its path that is no version."""
    found = re.search(r"^module\s+\"?([^\s\"]+)", project.text("go.mod"), re.MULTILINE)
    parts = [part for part in found[1].split("/") if not re.fullmatch(r"v\d+", part)] if found else []
    return parts[-1] if parts else project.name


def find_rust(project: Project, machine: Machine) -> Part | None:
    """Raises Unreadable."""
    if not project.has("Cargo.toml"):
        return None
    raw = project.toml("Cargo.toml")
    name = _rust_program(project, raw)
    lock = project.first("Cargo.lock", *(f"{parent}/Cargo.lock" for parent in project.parents))
    wanted = table(raw, "package").get("rust-version")
    old = mismatch(machine, "cargo", f">={wanted}" if isinstance(wanted, str) else "", "Cargo.toml")
    look = [old] if old else []
    if not lock:
        look.append("commit Cargo.lock: without it, two deploys may build other versions")
    locked = " --locked" if lock else ""
    recognised = (Recognised("Rust", lock or "Cargo.toml"),)
    if not name:
        return Part(recognised, build=f"cargo build --release{locked}", look=(*look, "no program in Cargo.toml"))
    sources = [text for _, text in project.sources(".rs", ".toml")]
    rocket = "rocket" in table(raw, "dependencies")
    up = f"{lock.rsplit('/', 1)[0]}/" if lock.startswith("..") else ""
    return Part(
        recognised,
        setup=f"cargo fetch{locked}" if lock else "",
        build=f"cargo build --release{locked} --bin {name}",
        start=f"{ROCKET if rocket else ''}{up}target/release/{name}",
        rank=Rank.APP,
        look=tuple(look),
        reads_port=rocket or any("PORT" in text for text in sources),
    )


def _is_main(text: str) -> bool:
    ignored = re.search(r"^//\s*(?:go:build|\+build)\s+ignore", text, re.MULTILINE)
    return (
        bool(re.search(r"^package main$", text, re.MULTILINE) and re.search(r"^func main\(", text, re.MULTILINE))
        and not ignored
    )


def _likely(folder: str, project: Project) -> tuple[bool, bool, int, str]:
    """The top folder first, then what is called like a server or like the project."""
    name = PurePosixPath(folder).name
    return folder != ".", name not in (*SERVERS, project.name), folder.count("/"), folder


def _port_of(sources: object) -> tuple[str, bool]:
    """The flag that passes the port, and whether a source reads PORT."""
    text = "\n".join(sources) if not isinstance(sources, str) else sources  # type: ignore[arg-type]
    if re.search(r"\"\w*PORT\"|env:\"PORT", text):
        return "", True
    if found := PORT_FLAGS.search(text):
        return f" -{found[1]} $PORT", True
    if found := ADDRESS_FLAGS.search(text):
        return f" -{found[1]} 127.0.0.1:$PORT", True
    return "", False


def _rust_program(project: Project, raw: dict[str, object]) -> str:
    programs = raw.get("bin")
    named = (
        [str(entry["name"]) for entry in programs if isinstance(entry, dict) and "name" in entry]
        if isinstance(programs, list)
        else []
    )
    name = str(table(raw, "package").get("name") or "")
    if named:
        return next((each for each in named if each in (*SERVERS, name)), named[0])
    if name and project.has("src/main.rs"):
        return str(table(raw, "package").get("default-run") or name)
    for member in project.matching(r"[\w./-]+/src/main\.rs"):
        inner = project.toml(f"{member.removesuffix('/src/main.rs')}/Cargo.toml")
        if found := table(inner, "package").get("name"):
            return str(found)
    return ""
