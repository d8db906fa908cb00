"""Which runs a version has beside its web run: workers, schedulers and the like."""

from dataclasses import dataclass

from slot_machine.core.version_config import Process, VersionConfig


@dataclass(frozen=True)
class SideRun:
    """One run of the process called `name`. `index` counts from 1.

    `run` names it in its release and in its log: `worker`, or `worker.2` if there are several.
    """

    name: str
    index: int
    run: str
    process: Process

    @property
    def variables(self) -> dict[str, str]:
        """What it has in its environment beside the variables of all processes."""
        return {"PROCESS": self.name, "PROCESS_INDEX": str(self.index)}


def side_runs(config: VersionConfig) -> list[SideRun]:
    return [
        SideRun(name, index, name if process.count == 1 else f"{name}.{index}", process)
        for name, process in config.workers.items()
        for index in range(1, process.count + 1)
    ]


def parts(run: str) -> tuple[str, int]:
    """The name of a run's process, and its index: `worker.2` is the second one of `worker`."""
    name, _, index = run.partition(".")
    return name, int(index or 1)
