"""What `export` writes: the app at HEAD, as an engine of that kind would get it."""

from pathlib import Path

import msgspec

from slot_machine.cli import here
from slot_machine.cli.cluster import subject
from slot_machine.cli.commands.deploy import uncommitted
from slot_machine.core.engine_config import EngineConfig, Swarm, kind
from slot_machine.core.errors import ConfigError
from slot_machine.engines.source import Source

WITHOUT_ENGINE: dict[str, EngineConfig] = {"swarm": Swarm(), "dockerfile": Swarm()}
EXAMPLE = '"engine": {"kind": "kubernetes", "registry": "registry.example.com/team"}'


def files(of: str, target: Path, *, with_secrets: bool, with_release: bool) -> tuple[dict[str, str], list[str]]:
    """By path, and warnings. Raises ConfigError, GitFailed, CommitNotFound, EnvFileError, Impossible, StageFailed."""
    subject.check_owner()
    source = _with_engine(subject.source(), of)
    commit = here.found("HEAD")
    values = source.values()
    app, _, warnings = source.app(commit, values)
    found = list(warnings)
    if changed := [name for name in here.changes() if not target.resolve().is_relative_to(Path(name).resolve())]:
        found.append(uncommitted(changed).replace("not deployed", "not exported"))
    if of == "dockerfile":
        from slot_machine.engines.export import dockerfile

        return dockerfile.files(app, source.repo, target), found
    if of == "swarm":
        from slot_machine.engines.export import swarm
        from slot_machine.engines.swarm import mapping as of_swarm

        return swarm.files(app, values, with_secrets=with_secrets), [*found, *of_swarm.refuse(app)]
    from slot_machine.engines.export import kubernetes
    from slot_machine.engines.kubernetes import mapping as of_kubernetes

    made = kubernetes.files(app, values, with_secrets=with_secrets, with_release=with_release)
    return made, [*found, *of_kubernetes.refuse(app)]


def _with_engine(source: Source, of: str) -> Source:
    """With the engine of the file, if it is of that kind. Raises ConfigError."""
    engine = source.daemon.engine
    if engine and of in (kind(engine), "dockerfile"):
        return source
    if of not in WITHOUT_ENGINE:
        raise ConfigError(f"{source.file} has no `engine` of the kind {of}", f"add one, such as {EXAMPLE}")
    daemon = msgspec.structs.replace(source.daemon, engine=WITHOUT_ENGINE[of])
    return source._replace(config=source.config._replace(daemon=daemon))
