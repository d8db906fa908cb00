"""The fields of a version that name commands, paths and statuses."""

import json

import pytest

from slot_machine.core.config_file import parse
from slot_machine.core.errors import ConfigError
from slot_machine.core.version_config import Process, VersionConfig


def version(**fields: object) -> VersionConfig:
    return parse(json.dumps({"start_command": "app"} | fields))[0].version


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"shared_dirs": ["/data"]}, "must be a path below the app's folder"),
        ({"shared_dirs": ["../data"]}, "must be a path below"),
        ({"shared_files": [".git/config"]}, "must be a path below"),
        ({"shared_dirs": ["."]}, "must be a path below"),
        ({"shared_dirs": ["storage", "storage/app"]}, "'storage/app' overlaps with 'storage'"),
        ({"shared_dirs": ["public"], "asset_dirs": ["./public/assets"]}, "overlaps with 'public'"),
        ({"root": "../app"}, "root: '../app' must be"),
        ({"processes": {"web": "x"}}, "web process is start_command"),
        ({"processes": {"clock": {"command": "x", "singleton": True, "count": 2}}}, "processes.clock: a singleton"),
        ({"processes": {"worker": " "}}, "processes.worker: the command is empty"),
        ({"processes": {"Worker": "x"}}, "processes"),
        ({"processes": {"worker": {"command": "x", "stop_signal": "KILL"}}}, "processes"),
        ({"cron": {"nightly": {"command": "x"}}}, "schedule"),
        ({"health_status": "200-"}, "expected a status or a range"),
        ({"health_status": 99}, "health_status"),
        ({"health_host": "a b"}, "expected a host name"),
        ({"build_command": "a\0b"}, "build_command contains a NUL"),
        ({"processes": {"worker": "a\0b"}}, "processes contains a NUL"),
    ],
)
def test_a_bad_field_is_refused_by_name(fields: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=r"slot-machine\.json: ") as refused:
        version(**fields)
    assert words in str(refused.value)


def test_names_that_only_begin_alike_do_not_overlap() -> None:
    assert version(shared_dirs=["img/news", "img/newsletters"]).shared_dirs == ("img/news", "img/newsletters")


def test_a_plain_command_is_a_process_with_defaults() -> None:
    assert version(processes={"worker": "run"}).workers == {"worker": Process(command="run")}


@pytest.mark.parametrize(("status", "first", "last"), [(200, 200, 200), ("204", 204, 204), ("200-399", 200, 399)])
def test_a_status_is_a_number_or_a_range(status: object, first: int, last: int) -> None:
    statuses = version(health_status=status).healthy_statuses
    assert (statuses[0], statuses[-1]) == (first, last)


@pytest.mark.parametrize(
    ("field", "value"), [("app_config", "../app.json"), ("app_config", "/app.json"), ("shared_dirs", ["a\nb"])]
)
def test_path_that_leaves_the_repository_or_breaks_a_line_is_refused(field: str, value: object) -> None:
    with pytest.raises(ConfigError, match=f"{field}: .* must be a path"):
        parse(json.dumps({"start_command": "app", field: value}))
