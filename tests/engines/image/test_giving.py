"""What docker, ssh and registries answer, by programs that stand for them."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from slot_machine.core.errors import StageFailed
from slot_machine.engines.client import Client
from slot_machine.engines.engine import Steps
from slot_machine.engines.image import builder, registry
from slot_machine.engines.image.nodes import AT_ONCE, Nodes

DOCKER = """
case "$1 $2" in
"image inspect") cat "{folder}/own" ;;
"image save") echo "an image" ;;
esac
"""
SSH = """
place=$1; shift 2
case "$*" in
*inspect*) cat "{folder}/$place" 2>/dev/null || { echo "Error: No such image: x" >&2; exit 1; } ;;
*load*)
    echo >> "{folder}/runs/$$"; ls "{folder}/runs" | wc -l >> "{folder}/seen"
    cat > /dev/null; sleep 0.1; rm "{folder}/runs/$$"
    case $place in full) echo "no space left on device" >&2; exit 1 ;; other) echo other > "{folder}/$place" ;;
    *) cp "{folder}/own" "{folder}/$place" ;; esac ;;
esac
"""
Make = Callable[..., Nodes]


@pytest.fixture
def nodes(tmp_path: Path) -> Make:
    (tmp_path / "runs").mkdir()
    for name, text in (("docker", DOCKER), ("ssh", SSH)):
        (tmp_path / name).write_text("#!/bin/sh" + text.replace("{folder}", str(tmp_path)))
        (tmp_path / name).chmod(0o755)
    (tmp_path / "own").write_text("inputs layers")

    def make(*names: str) -> Nodes:
        return Nodes(Client(str(tmp_path / "docker")), {name: name for name in names}, (str(tmp_path / "ssh"),))

    return make


def done(steps: Steps) -> tuple[list[str], str]:
    lines = []
    while True:
        try:
            lines.append(next(steps))
        except StopIteration as end:
            return lines, str(end.value)


def test_only_nodes_that_lack_it_get_it_a_few_at_once(nodes: Make, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("inputs layers")
    (tmp_path / "b").write_text("inputs others")
    names = ("a", "b", "c", "d", "e", "f")
    lines, summary = done(nodes(*names).give("shop:1"))
    assert sorted(lines) == [f"{name} has it" for name in names[1:]]
    assert summary == "6 nodes have it; 5 lacked it"
    assert max(map(int, (tmp_path / "seen").read_text().split())) <= AT_ONCE
    assert nodes(*names).differing("shop:1") == []


def test_a_node_that_has_no_room_is_named(nodes: Make) -> None:
    with pytest.raises(StageFailed, match=r"^full: no space left on device"):
        done(nodes("full").give("shop:1"))


def test_a_node_that_has_another_image_afterwards_is_named(nodes: Make) -> None:
    with pytest.raises(StageFailed, match=r"^other: it has another image under that name"):
        done(nodes("other").give("shop:1"))


def test_an_older_image_need_not_be_here(nodes: Make, tmp_path: Path) -> None:
    (tmp_path / "own").unlink()
    (tmp_path / "docker").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "a").write_text("inputs layers")
    (tmp_path / "b").write_text("inputs layers")
    assert done(nodes("a", "b").give("shop:1")) == ([], "each node had it")
    with pytest.raises(StageFailed, match="there is no shop:1 here, and not on each node"):
        done(nodes("a", "c").give("shop:1"))


@pytest.mark.parametrize(
    ("said", "advice"),
    [
        ("unauthorized: authentication required", "log in: `docker login r.example.com:5000`"),
        ("denied: requested access to the resource is denied", "log in as somebody who may push there"),
        ("dial tcp: lookup r.example.com: no such host", "there is no such host"),
        ("dial tcp 10.0.0.1:443: connect: no route to host", "r.example.com:5000 does not answer"),
        ("http: server gave HTTP response to HTTPS client", "docker does not trust r.example.com:5000"),
        ("something else", ""),
    ],
)
def test_errors_of_a_registry_in_words(tmp_path: Path, said: str, advice: str) -> None:
    docker = tmp_path / "docker"
    docker.write_text(f'#!/bin/sh\n[ "$1" != push ] || {{ echo "{said}"; exit 1; }}\n')
    docker.chmod(0o755)
    with pytest.raises(StageFailed, match="docker can't push") as failed:
        done(registry.push(Client(str(docker)), "r.example.com:5000/team/shop:1"))
    assert failed.value.hint.startswith(advice)
    assert failed.value.output == (said,)


def test_an_image_that_is_in_the_registry_alone_is_not_pushed(tmp_path: Path) -> None:
    docker = tmp_path / "docker"
    docker.write_text('#!/bin/sh\ncase "$1" in manifest) exit 0 ;; *) exit 1 ;; esac\n')
    docker.chmod(0o755)
    assert done(registry.push(Client(str(docker)), "r/shop:1")) == ([], "it is there already")


def docker_that_says(folder: Path, platforms: str, versions: tuple[str, str] = ("28.2.2", "28.2.2")) -> Client:
    """`platforms` are those of buildx; empty if there is none."""
    version = (
        f'{{"Client":{{"Version":"{versions[0]}"}},"Server":{{"Version":"{versions[1]}","Os":"linux","Arch":"amd64"}}}}'
    )
    buildx = f"echo 'Platforms: {platforms}'" if platforms else "exit 1"
    docker = folder / "docker"
    docker.write_text(f"#!/bin/sh\ncase $1 in version) echo '{version}' ;; buildx) {buildx} ;; esac\n")
    docker.chmod(0o755)
    return Client(str(docker))


def test_several_platforms_need_buildx_and_a_registry(tmp_path: Path) -> None:
    both = ("linux/amd64", "linux/arm64")
    how = builder.found(docker_that_says(tmp_path, "linux/amd64*, linux/arm64/v8, linux/386"))
    how.check(both, has_registry=True)
    args = " ".join(how.args("r/shop:1", Path("D"), {"a": "b"}, both))
    assert args == (
        "buildx build --push --progress plain --platform linux/amd64,linux/arm64 --file D --tag r/shop:1 --label a=b"
    )
    with pytest.raises(StageFailed, match="needs buildx and a registry"):
        how.check(both, has_registry=False)
    with pytest.raises(StageFailed, match="nodes of linux/s390x"):
        how.check(("linux/s390x",), has_registry=True)


def test_buildkit_inside_of_an_engine_is_used_where_the_client_can(tmp_path: Path) -> None:
    old = builder.found(docker_that_says(tmp_path, "", ("20.10.24", "20.10.24")))
    assert "--progress" in old.args("shop:1", Path("Dockerfile"), {}, ("linux/amd64",))
    new = builder.found(docker_that_says(tmp_path, "", ("28.2.2", "28.2.2")))
    assert new.args("shop:1", Path("D"), {}, ("linux/amd64",)) == ["build", "--file", "D", "--tag", "shop:1"]


def test_the_step_that_failed() -> None:
    classic, kit = builder.Output(), builder.Output()
    step = 'Step 2/2 : RUN ["/bin/sh", "-c", "x"]'
    for line in ("Step 1/2 : FROM a", " ---> 0123", step, "\x1b[91moh no", "\x1b[0mx"):
        classic.add(line)
    for line in ('#5 [2/3] RUN ["a"]', "#6 [3/3] RUN b", "#5 0.301 oh no", "#5 ERROR: process did not complete"):
        kit.add(line)
    assert classic.step == 'RUN ["/bin/sh", "-c", "x"]'
    assert classic.lines == (step, "oh no", "x")
    assert kit.step == 'RUN ["a"]'
    assert "oh no" in kit.lines


def test_a_build_ends_when_nobody_reads_on(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    program = tmp_path / "docker"
    program.write_text(f"#!/bin/sh\necho $$ > {pid}; echo one; exec sleep 60\n")
    program.chmod(0o755)
    lines = Client(str(program)).lines("push", limit_s=60)
    assert next(lines) == "one"
    lines.close()
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


def test_a_program_that_hangs_is_killed(tmp_path: Path) -> None:
    program = tmp_path / "docker"
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o755)
    lines = Client(str(program)).lines("push", limit_s=0.1)
    with pytest.raises(StopIteration) as end:
        next(lines)
    assert end.value.value == -9
