"""The stack file of an app on a swarm."""

import shutil
import subprocess
from typing import cast

import msgspec
import pytest

from slot_machine.core.errors import EngineFailed, Impossible
from slot_machine.engines.image.layout import ENV_FILE, SHARED, STOP_DELAY, STOP_SIGNAL, health
from slot_machine.engines.shape import App
from slot_machine.engines.swarm import labels, mapping, names, timing
from slot_machine.engines.swarm.stack import Json, only, stack
from slot_machine.engines.swarm.stack_file import parsed, text
from tests.engines.apps import COMMIT, on_swarm


def at(tree: object, *path: str) -> object:
    for key in path:
        assert isinstance(tree, dict)
        tree = tree[key]
    return tree


def service(app: App, name: str = "web") -> Json:
    return cast(Json, at(stack(app), "services", name))


def seconds(time: object) -> float:
    assert isinstance(time, str)
    return float(time[:-2]) / 1000 if time.endswith("ms") else float(time[:-1])


def test_the_mesh_is_not_used() -> None:
    web = service(on_swarm())
    assert at(web, "deploy", "endpoint_mode") == "dnsrr"
    assert "ports" not in web


def test_the_next_copy_starts_before_the_old_one_ends() -> None:
    deploy = at(service(on_swarm()), "deploy")
    for config in ("update_config", "rollback_config"):
        assert at(deploy, config, "order") == "start-first"
        assert at(deploy, config, "delay") == "0s"
    assert at(deploy, "update_config", "failure_action") == "rollback"


@pytest.mark.parametrize("version", [{"strategy": "replace"}, {"shared_dirs": ["data"]}])
def test_versions_that_must_not_run_at_once_take_turns(version: dict[str, object]) -> None:
    web = service(on_swarm(version, engine={"replicas": 1}))
    assert at(web, "deploy", "update_config", "order") == "stop-first"
    assert at(web, "deploy", "rollback_config", "order") == "stop-first"
    assert at(web, "environment", STOP_DELAY) == "0"


@pytest.mark.parametrize("health_timeout_ms", [1, 1000, 10_000, 61_500])
def test_a_copy_that_never_becomes_healthy_ends_while_the_engine_watches(health_timeout_ms: int) -> None:
    web = service(on_swarm({"health_timeout_ms": health_timeout_ms}))
    check = at(web, "healthcheck")
    start, every = seconds(at(check, "start_period")), seconds(at(check, "interval"))
    for config in ("update_config", "rollback_config"):
        monitor = seconds(at(web, "deploy", config, "monitor"))
        assert monitor > start + every * cast(int, at(check, "retries")) + 5
    assert start >= max(health_timeout_ms / 1000, 0.001)
    assert at(check, "test") == ["CMD", *health(on_swarm().version)]


def test_a_copy_has_the_delay_and_the_drain_before_it_is_killed() -> None:
    web = service(on_swarm({"drain_timeout_ms": 30_000}, engine={"stop_delay_ms": 4_500}))
    assert at(web, "environment", STOP_DELAY) == "4500"
    assert seconds(web["stop_grace_period"]) == 30 + 4.5 + timing.MARGIN_S


def test_a_worker_is_a_service_with_its_own_command_and_end() -> None:
    worker = service(
        on_swarm(
            {
                "processes": {
                    "mail": {"command": "./mail", "count": 2, "stop_signal": "QUIT", "stop_timeout_ms": 9000},
                    "clock": {"command": "./clock", "singleton": True, "memory_max_mb": 100},
                }
            }
        ),
        "mail",
    )
    assert worker["command"] == ["worker", "./mail"]
    assert at(worker, "environment", STOP_SIGNAL) == "QUIT"
    assert seconds(worker["stop_grace_period"]) == 9 + timing.MARGIN_S
    assert worker["healthcheck"] == {"disable": True}
    assert worker["networks"] == ["default"]
    assert at(worker, "deploy", "replicas") == 2
    assert at(worker, "environment", "PROCESS_INDEX") == "{{.Task.Slot}}"


def test_two_of_a_singleton_never_run_at_once() -> None:
    clock = service(on_swarm({"processes": {"clock": {"command": "./clock", "singleton": True}}}), "clock")
    assert at(clock, "deploy", "update_config", "order") == "stop-first"
    assert at(clock, "deploy", "rollback_config", "order") == "stop-first"
    assert at(clock, "deploy", "replicas") == 1


def test_services_and_tasks_bear_the_release() -> None:
    app = msgspec.structs.replace(on_swarm(), env_digest="abc")
    web = service(app)
    wanted = {names.APP: "shop", names.PROCESS: "web", names.COMMIT: COMMIT, names.RELEASE: "3", names.ENV: "abc"}
    assert web["labels"] == wanted
    assert wanted.items() <= cast(dict[str, str], at(web, "deploy", "labels")).items()


def test_variables_are_a_secret_that_is_named_by_their_digest() -> None:
    made = stack(msgspec.structs.replace(on_swarm({"processes": {"mail": "./mail"}}), env_digest="abc"))
    assert made["secrets"] == {"env": {"external": True, "name": "shop-env-abc"}}
    for name in ("web", "mail"):
        assert at(made, "services", name, "secrets") == [{"source": "env", "target": "slot-machine-env"}]
        assert at(made, "services", name, "environment", ENV_FILE) == "/run/secrets/slot-machine-env"
    assert "secrets" not in stack(on_swarm())


def test_without_a_registry_only_nodes_that_were_given_the_image_run_it() -> None:
    constraint = f"node.labels.slot-machine.image.shop-{COMMIT[:12]}==yes"
    assert at(service(on_swarm()), "deploy", "placement", "constraints") == [constraint]
    assert "placement" not in cast(Json, service(on_swarm(engine={"registry": "r.example.com"}))["deploy"])


def test_local_folders_pin_all_processes_to_their_node() -> None:
    app = on_swarm({"shared_dirs": ["data"], "root": "site", "processes": {"mail": "./m"}}, engine={"replicas": 1})
    made = stack(app)
    for name in ("web", "mail"):
        constraints = cast(list[str], at(made, "services", name, "deploy", "placement", "constraints"))
        assert "node.labels.slot-machine.data.shop==yes" in constraints
        assert at(made, "services", name, "volumes") == [
            {"type": "volume", "source": "shared", "target": SHARED},
        ]
    assert at(made, "services", "web", "environment", "SLOT_MACHINE_SHARED") == SHARED


def test_folders_on_nfs_pin_nothing() -> None:
    app = on_swarm({"shared_dirs": ["data"]}, engine={"nfs": "nas:/exports/shop", "registry": "r.example.com"})
    assert at(stack(app), "volumes", "shared", "driver_opts", "device") == ":/exports/shop"
    assert at(service(app), "deploy", "update_config", "order") == "start-first"
    assert "placement" not in cast(Json, service(app)["deploy"])


def test_limits_of_memory_are_exact() -> None:
    assert at(service(on_swarm(memory_max_mb=300)), "deploy", "resources", "limits", "memory") == "300000000b"


def test_the_edge_finds_the_web_service_alone() -> None:
    made = stack(on_swarm({"processes": {"mail": "./mail"}}))
    assert at(made, "services", "web", "networks") == ["default", "edge"]
    assert at(made, "networks", "edge") == {"external": True, "name": labels.NETWORK}
    assert "traefik.enable" not in cast(Json, at(made, "services", "mail", "deploy", "labels"))


def test_a_maintenance_changes_labels_of_the_service_alone() -> None:
    """Labels of the tasks would replace all copies."""
    off, on = stack(on_swarm()), stack(on_swarm(), maintenance=True)
    assert at(on, "services", "web", "deploy", "labels", names.MAINTENANCE) == "on"
    for made in (off, on):
        cast(Json, at(made, "services", "web", "deploy"))["labels"] = {}
    assert on == off


def test_many_copies_are_replaced_in_few_steps() -> None:
    assert at(service(on_swarm(engine={"replicas": 3})), "deploy", "update_config", "parallelism") == 1
    assert at(service(on_swarm(engine={"replicas": 95})), "deploy", "update_config", "parallelism") == 10


ODD = [
    "yes",
    "1:30",
    "0o17",
    "1e3",
    "~",
    "",
    " x",
    "x: y",
    "#",
    "a\nb",
    "é",
    "$HOME $$ ${X}",
    "-",
    "@a",
    "null",
    "=",
    "0x1F",
]


@pytest.mark.parametrize("word", ODD)
def test_texts_are_read_as_they_are(word: str) -> None:
    made = only(stack(on_swarm({"processes": {"mail": word}})), "mail")
    assert parsed(text(made)) == made


def test_the_file_is_the_same_for_the_same_app() -> None:
    app = on_swarm({"processes": {"b": "./b", "a": "./a"}}, domains=["shop.example.com"])
    assert text(stack(app)) == text(stack(app))


def test_a_file_that_is_none_is_told() -> None:
    for written in ("x: [", "services: 3", ""):
        with pytest.raises(EngineFailed):
            parsed(written)


@pytest.mark.parametrize("client", ["/usr/bin/docker", "/usr/local/bin/docker"])
def test_docker_reads_the_file_as_it_is(client: str) -> None:
    """The client's own check of the file, which needs no engine: it reads its values, too."""
    if not shutil.which(client):
        pytest.skip(f"there is no {client}")
    app = on_swarm(
        {"processes": {"mail": {"command": "echo $HOME '${X}' 0o17", "singleton": True}}, "shared_dirs": ["data"]},
        engine={"replicas": 1},
        domains=["shop.example.com"],
        redirects={"www.shop.example.com": "shop.example.com"},
        memory_max_mb=100,
    )
    app = msgspec.structs.replace(app, env_digest="abc")
    argv = [client, "stack", "config", "--compose-file", "-"]
    done = subprocess.run(argv, input=text(stack(app)), capture_output=True, text=True, check=False)
    if "unknown command" in done.stderr or "unknown flag" in done.stderr or "docker stack" in done.stderr:
        pytest.skip("this client has no `docker stack config`")
    assert done.stderr == ""
    assert "echo $$HOME" in done.stdout or "echo $HOME" in done.stdout


def refused(app: App) -> str:
    with pytest.raises(Impossible) as error:
        mapping.refuse(app)
    assert error.value.hint
    return str(error.value)


def test_copies_on_several_nodes_do_not_share_a_local_folder() -> None:
    assert "'data'" in refused(on_swarm({"shared_dirs": ["data"]}))


def test_a_sqlite_file_is_not_shared_by_several_copies_in_any_case() -> None:
    nfs = {"nfs": "nas:/exports/shop"}
    assert "'shop.sqlite3'" in refused(on_swarm({"shared_dirs": ["shop.sqlite3"]}, engine=nfs))
    app = on_swarm({"shared_dirs": ["data"]}, engine=nfs)
    with pytest.raises(Impossible, match="DATABASE_URL"):
        mapping.refuse_values(app, {"DATABASE_URL": "sqlite:///data/db"})
    mapping.refuse_values(on_swarm({"shared_dirs": ["data"]}, engine={"replicas": 1}), {"DATABASE_URL": "sqlite:///db"})


def test_files_are_not_shared() -> None:
    assert "'local.db'" in refused(on_swarm({"shared_files": ["local.db"]}, engine={"replicas": 1}))


def test_what_is_left_out_is_told() -> None:
    job = {"schedule": "@daily", "command": "./clean"}
    warnings = "\n".join(
        mapping.refuse(on_swarm({"watch_ms": 1000, "cron": {"clean": job}}, notify=["https://x"], cpu_weight=50))
    )
    for part in ("`watch_ms`", "`cron.clean`", "@daily slot-machine run -- ./clean", "`notify`", "`cpu_weight`"):
        assert part in warnings
    assert mapping.refuse(on_swarm()) == []


def test_an_image_of_the_users_own_needs_no_shim() -> None:
    app = on_swarm({"processes": {"mail": {"command": "./mail", "stop_signal": "QUIT"}}})
    app = msgspec.structs.replace(app, own_dockerfile=True, env_digest="abc")
    assert "test" not in cast(Json, service(app)["healthcheck"])
    worker = service(app, "mail")
    assert (worker["entrypoint"], worker["command"]) == (["/bin/sh", "-c"], ["./mail"])
    assert worker["stop_signal"] == "SIGQUIT"
    warnings = "\n".join(mapping.refuse(app))
    assert "`Dockerfile`" in warnings
    assert "`env_file`" in warnings
