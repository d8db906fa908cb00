"""Output of several copies, merged by its time; copies that start later are followed, too."""

import subprocess
import sys
from collections.abc import Iterator

import pytest

from slot_machine.core.engine_config import Kubernetes
from slot_machine.engines.engine import Logs
from slot_machine.engines.kubernetes import logs, names
from slot_machine.engines.kubernetes.engine import KubernetesEngine
from tests.fake_kubectl import FakeClock, FakeKubectl, Json


class Following(FakeKubectl):
    """Each `logs --follow` is a process that prints its pod's lines and goes on."""

    def __init__(self) -> None:
        super().__init__()
        self.begun: list[subprocess.Popen[bytes]] = []

    def begin(self, *args: str, with_stdin: bool = False) -> subprocess.Popen[bytes]:  # noqa: ARG002
        text = "\n".join(self.output[args[1]])
        program = f"import time; print({text!r}, flush=True); time.sleep(60)"
        process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
        self.begun.append(process)
        return process


def pod(name: str, process: str) -> Json:
    running = {"state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}, "name": "app"}
    labels = {names.APP: "shop", names.PROCESS: process}
    return {"metadata": {"name": name, "labels": labels}, "status": {"containerStatuses": [running]}}


def shop(kubectl: FakeKubectl) -> KubernetesEngine:
    kubectl.add("pods", pod("shop-1-aaaaa", "web"))
    kubectl.add("pods", pod("shop-1-bbbbb", "web"))
    kubectl.add("pods", pod("shop-worker-1-ccccc", "worker"))
    kubectl.output = {
        "shop-1-aaaaa": ["2026-01-01T00:00:01.5Z one", "2026-01-01T00:00:03.0Z three"],
        "shop-1-bbbbb": ["2026-01-01T00:00:02.0Z two  words"],
        "shop-worker-1-ccccc": ["2026-01-01T00:00:04.0Z four"],
    }
    return KubernetesEngine("shop", Kubernetes(registry="r"), kubectl, FakeClock(kubectl))


def test_lines_of_all_copies_in_the_order_of_time() -> None:
    assert list(shop(FakeKubectl()).logs(Logs())) == [
        "2026-01-01T00:00:01.5Z web.aaaaa one",
        "2026-01-01T00:00:02.0Z web.bbbbb two  words",
        "2026-01-01T00:00:03.0Z web.aaaaa three",
        "2026-01-01T00:00:04.0Z worker.ccccc four",
    ]


def test_a_line_is_what_a_newline_ends() -> None:
    kubectl = FakeKubectl()
    engine = shop(kubectl)
    kubectl.output = {"shop-1-aaaaa": ["2026-01-01T00:00:01.5Z one\x85\u2028\x0c2026-01-01T00:00:00.0Z forged"]}
    (line,) = [line for line in engine.logs(Logs()) if "one" in line or "forged" in line]
    assert line.startswith("2026-01-01T00:00:01.5Z web.aaaaa one")


def test_lines_of_one_process() -> None:
    kubectl = FakeKubectl()

    assert list(shop(kubectl).logs(Logs(process="worker", lines=5, since="2026-01-01T00:00:00Z"))) == [
        "2026-01-01T00:00:04.0Z worker.ccccc four"
    ]
    assert {"--tail=5", "--since-time=2026-01-01T00:00:00Z"} <= set(kubectl.calls[-1].args)


def test_copy_that_starts_later_is_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "LOOK_EVERY_S", 0.05)
    kubectl = Following()
    lines: Iterator[str] = shop(kubectl).logs(Logs(process="web", follow=True))
    assert min(next(lines) for _ in range(3)) == "2026-01-01T00:00:01.5Z web.aaaaa one"

    kubectl.output["shop-2-ddddd"] = ["2026-01-01T00:00:09.0Z new"]
    kubectl.add("pods", pod("shop-2-ddddd", "web"))
    kubectl.fail("get", "connection refused")
    kubectl.mend()
    assert next(lines) == "2026-01-01T00:00:09.0Z web.ddddd new"

    lines.close()  # type: ignore[attr-defined]
    assert all(process.poll() is not None for process in kubectl.begun)
