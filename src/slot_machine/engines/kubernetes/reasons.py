"""Why a copy does not become healthy, in words."""

from typing import NamedTuple

from slot_machine.core.phases import Phase
from slot_machine.engines.kubernetes.seen import Pod, Terminated

PULLING_S = 30.0
"""A registry that does not answer once is asked again."""
SETTLING_S = 10.0
"""A node may see a Secret later than we made it."""
NEVER_S = float("inf")
"""A new node, or a lighter one, may take the copy until the rollout's own time limit passes."""

WAITING = {
    "ErrImagePull": PULLING_S,
    "ImagePullBackOff": PULLING_S,
    "InvalidImageName": 0.0,
    "ErrImageNeverPull": 0.0,
    "CreateContainerConfigError": SETTLING_S,
    "CreateContainerError": SETTLING_S,
    "RunContainerError": SETTLING_S,
    "CrashLoopBackOff": 0.0,
}
"""Reasons of a container that waits, and how long each may last."""
OF_IMAGES = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull")


class Trouble(NamedTuple):
    """`patience_s`: how long it may last until the rollout has failed. `previous`: the output is of the run before."""

    words: str
    hint: str = ""
    patience_s: float = 0.0
    stage: str = Phase.START.stage
    previous: bool = False


def of(pod: Pod) -> Trouble | None:
    """None if it is well, or on its way."""
    container, state = pod.container, pod.container.state
    if pod.ending:
        return None
    if waiting := state.waiting:
        if waiting.reason in OF_IMAGES:
            return _image(waiting.message or waiting.reason, WAITING[waiting.reason])
        if waiting.reason in WAITING and not container.last_state.terminated:
            return _not_started(waiting.message or waiting.reason, WAITING[waiting.reason])
    if ended := state.terminated:
        return Trouble(_ended(ended), _hint(ended))
    if ended := container.last_state.terminated:
        return Trouble(_ended(ended), _hint(ended), previous=not state.terminated)
    if pod.status.phase == "Failed":
        return Trouble(f"its node ended it: {pod.status.message or pod.status.reason}", patience_s=PULLING_S)
    if (placed := pod.condition("PodScheduled")) and placed.status == "False" and placed.reason == "Unschedulable":
        return _no_node(placed.message)
    return None


def unready(pod: Pod) -> Trouble:
    """Of one that runs when its time is over. What its health check said is in its events."""
    if pod.container.state.running:
        return Trouble("it runs, and is not healthy", stage=Phase.HEALTH.stage)
    return Trouble("it did not start in time", "`slot-machine status` shows what the cluster says of it")


def _image(message: str, patience_s: float) -> Trouble:
    hint = "check that the nodes reach the registry; engine.pull_secret names the Secret with their login"
    if "no match for platform" in message or "no matching manifest" in message:
        hint = "the image is not for the node's architecture: `slot-machine engine check` lists the nodes'"
    return Trouble(f"its node can't get the image: {message}", hint, patience_s)


def _not_started(message: str, patience_s: float) -> Trouble:
    hint = ""
    if "runAsNonRoot" in message or "run as root" in message:
        hint = "the image runs as root: end your Dockerfile with a number, such as `USER 10001`"
    elif "secret" in message and "not found" in message:
        hint = "the Secret with the variables is gone: `slot-machine restart` makes it again"
    return Trouble(f"it can't start: {message}", hint, patience_s)


def _no_node(message: str) -> Trouble:
    hint = "add a node, or ask for less: memory_max_mb, cpu_weight, engine.replicas"
    if "PersistentVolumeClaim" in message or "volume" in message:
        hint = "look at the volume of shared_dirs: `kubectl describe pvc`; engine.storage_class names its class"
    return Trouble(f"no node takes it: {message}", hint, NEVER_S)


def _ended(ended: Terminated) -> str:
    if ended.reason == "OOMKilled":
        return "the kernel killed it: it took more memory than its limit"
    if ended.reason in ("ContainerCannotRun", "StartError"):
        return f"it can't start: {ended.message}"
    how = f"signal {ended.signal}" if ended.signal else f"exit code {ended.exit_code}"
    return f"it ended with {how}"


def _hint(ended: Terminated) -> str:
    if ended.reason == "OOMKilled":
        return "raise memory_max_mb, or find what takes the memory"
    return ""
