"""Where the configuration of a version comes from."""

import asyncio
import json
import re
from pathlib import Path

import pytest

from slot_machine.app.configurations import Configurations
from slot_machine.core.config_file import parse
from slot_machine.core.errors import StageFailed
from slot_machine.core.phases import Phase
from slot_machine.core.version_config import VersionConfig
from tests.app.stories import deploy, machine, rollback
from tests.fakes import COMMITS, Faults, Machine, Trees, run

OWN, _ = parse('{"start_command": "own", "drain_timeout_ms": 1234, "port": 4000}')
COMMIT = COMMITS["a"]


def of(
    file: object, tmp_path: Path, own_path: str = "slot-machine.json", app_config: str = "", *, has_proxy: bool = True
) -> tuple[VersionConfig, list[str]]:
    trees = Trees(Faults(), tmp_path)
    if file is not None:
        trees.files[COMMIT] = file if isinstance(file, bytes) else json.dumps(file).encode()
    return asyncio.run(Configurations(trees, OWN, own_path, app_config, has_proxy).of(COMMIT))


def test_the_file_of_the_commit_counts_whole(tmp_path: Path) -> None:
    config, warnings = of({"start_command": "theirs"}, tmp_path)

    assert config == VersionConfig(start_command="theirs")
    assert warnings == []


@pytest.mark.parametrize(("file", "own_path"), [(None, "slot-machine.json"), ({"start_command": "theirs"}, "")])
def test_else_the_file_of_the_daemon_does(tmp_path: Path, file: object, own_path: str) -> None:
    assert of(file, tmp_path, own_path) == (OWN.version, [])


def test_the_file_may_have_another_path(tmp_path: Path) -> None:
    file = {"start_command": "theirs", "port": 5000}
    config, (warning,) = of(file, tmp_path, own_path="", app_config="deploy/app.json")

    assert config.start_command == "theirs"
    assert warning == (
        "deploy/app.json of aaaaaaaa: port differs from the daemon's configuration, where such fields belong,"
        " so ignored: set them there"
    )


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"log_keep": 9}, "`slot-machine reload` applies the file's"),
        ({"log_keep": 9, "port": 1}, "stop and start it, which applies port"),
        ({"engine": {"kind": "swarm"}}, "so ignored: this daemon runs the app on this machine"),
    ],
)
def test_fields_of_the_daemon_that_differ_are_told(tmp_path: Path, fields: dict[str, object], words: str) -> None:
    _, (warning,) = of({"start_command": "theirs"} | fields, tmp_path)

    assert warning.startswith("slot-machine.json of aaaaaaaa: ")
    assert words in warning


def test_fields_of_the_daemon_that_are_the_same_or_left_out_are_not_told(tmp_path: Path) -> None:
    assert of({"start_command": "theirs", "port": 4000}, tmp_path)[1] == []


@pytest.mark.parametrize(
    ("file", "words"),
    [
        (b"{", "not valid JSON"),
        (b'{"start_command":' + b"[" * 60_000, "not valid JSON"),
        ({"start_command": "x", "drain_timeout_ms": "1 s"}, "drain_timeout_ms: expected `int`"),
        ({}, "start_command is missing"),
        ({"start_command": "x\0y"}, "start_command contains a NUL"),
        ({"start_command": "x", "strategy": "replace"}, "needs the proxy"),
        ({"start_command": "x", "rehearse": "recent"}, 'rehearse "recent" needs the proxy'),
        ({"start_command": "x", "rehearse": ["pricing"]}, "rehearse[0]: expected a path that begins with /"),
        ({"start_command": "x", "rehearse": "recently"}, "expected a list of paths, or \"recent\", not 'recently'"),
    ],
)
def test_an_invalid_file_fails_the_deploy_by_name(tmp_path: Path, file: object, words: str) -> None:
    with pytest.raises(StageFailed) as failed:
        of(file, tmp_path, has_proxy=False)

    assert failed.value.stage == Phase.RESOLVE
    assert str(failed.value).startswith("slot-machine.json of aaaaaaaa: ")
    assert words in str(failed.value)
    assert failed.value.hint


def started(made: Machine) -> list[str]:
    return [process.version.config.start_command for process in made.launcher.started]


def test_each_version_is_started_with_its_own_commands(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path) as made:
            for name in "ab":
                made.trees.files[COMMITS[name]] = json.dumps({"start_command": f"start {name}"}).encode()
                await deploy(made, name)
            await rollback(made)
            made.crash()
            await asyncio.sleep(10)
            assert started(made) == ["start a", "start b", "start a", "start a"]
            rolled_back, second, _ = made.store.attempts(3, crashes=False)
            assert isinstance(rolled_back.config, VersionConfig)
            assert isinstance(second.config, VersionConfig)
            assert (rolled_back.config.start_command, second.config.start_command) == ("start a", "start b")

    run(story())


def test_the_new_versions_strategy_rules_the_switch(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path) as made:
            made.trees.files[COMMITS["a"]] = b'{"start_command": "a", "drain_timeout_ms": 2000}'
            await deploy(made, "a")
            made.trees.files[COMMITS["b"]] = b'{"start_command":"b","strategy":"replace","health_timeout_ms":30000}'
            await deploy(made, "b")
            assert "hold" in made.faults.names
            assert made.traffic.hold_s == 2 + 2 * 30 + 2 * 10 + 5, "each may start twice, on another port"
            made.faults.names.clear()
            await rollback(made)
            assert "hold" not in made.faults.names

    run(story())


def test_an_invalid_file_leaves_the_live_version_alone(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path) as made:
            await deploy(made, "a")
            made.trees.files[COMMITS["b"]] = b'{"start_command": ""}'
            outcome = await deploy(made, "b")
            assert isinstance(outcome, StageFailed)
            assert "start_command is empty" in str(outcome)
            assert made.supervisor.running
            (attempt,) = made.store.attempts(1)
            assert (attempt.commit, attempt.stage, attempt.result) == (COMMITS["b"], "resolve", "failed")

    run(story())


def test_what_only_the_owner_of_the_machine_may_set_is_ignored_by_name(tmp_path: Path) -> None:
    """A pushed commit can't choose the user, the commands of hooks, or files outside of its tree."""
    theirs = {
        "user": "root",
        "hooks": {"crashed": "touch /tmp/owned"},
        "notify": ["https://example.com/collect"],
        "data": "/etc",
        "env_file": "/etc/shadow",
        "access_log": "/etc/passwd",
        "domains": ["bank.example.com"],
        "webhook": {"path": "/hook", "secret_env": "HOOK_SECRET"},
        "webhook_port": 1,
    }
    config, warnings = of({"start_command": "theirs"} | theirs, tmp_path, own_path="", app_config="slot-machine.json")

    assert config == VersionConfig(start_command="theirs")
    for field in theirs:
        assert re.search(rf"\b{field}\b.*ignored", "\n".join(warnings)), field


@pytest.mark.parametrize("app_config", ["", "slot-machine.json"])
@pytest.mark.parametrize(
    "theirs",
    [
        {"webhook": {"secret_env": "HOOK_SECRET"}},
        {"webhook": {"path": "no path"}},
        {"domains": ["*.example.com", 7]},
        {"hosts": {"production": "-oProxyCommand=x"}},
        {"port": "3000"},
        {"api_port": 4000},
        {"trusted_proxies": ["everybody"]},
        {"bind": "localhost"},
        {"hooks": {"crashed": " "}},
        {"name": "a\0b"},
        {"app_config": "../other.json"},
        {"env_file": "."},
    ],
)
def test_fields_of_the_daemon_that_are_wrong_do_not_fail_a_deploy(
    tmp_path: Path, theirs: dict[str, object], app_config: str
) -> None:
    config, (warning,) = of({"start_command": "theirs"} | theirs, tmp_path, app_config=app_config)

    assert config == VersionConfig(start_command="theirs")
    assert f"{next(iter(theirs))} differs" in warning


def test_a_commit_without_the_file_that_the_daemon_relies_on_is_refused(tmp_path: Path) -> None:
    own, _ = parse('{"app_config": "slot-machine.json"}')
    trees = Trees(Faults(), tmp_path)
    with pytest.raises(StageFailed, match="commit aaaaaaaa has no slot-machine") as refused:
        asyncio.run(Configurations(trees, own, "", "slot-machine.json", True).of(COMMIT))
    assert refused.value.stage == Phase.RESOLVE
    assert "slot-machine init" in refused.value.hint


def test_a_commit_can_t_do_without_a_start_command(tmp_path: Path) -> None:
    with pytest.raises(StageFailed, match="start_command is missing"):
        of({"app_config": "other.json"}, tmp_path, own_path="", app_config="slot-machine.json")
