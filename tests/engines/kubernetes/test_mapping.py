"""What Kubernetes can't do is refused, or left out with a warning."""

import msgspec
import pytest

from slot_machine.core.errors import Impossible
from slot_machine.engines.kubernetes import mapping
from tests.kubernetes_shapes import Fields, app


@pytest.mark.parametrize(
    ("fields", "engine", "says"),
    [
        ({"shared_dirs": ["uploads"]}, {"replicas": 2}, "2 replicas can't share 'uploads'"),
        ({"shared_files": ["app.db"]}, {"replicas": 1}, "shared_files.*'app.db'"),
        ({"shared_dirs": ["sqlite"]}, {"storage_class": "nfs"}, "sqlite names a SQLite file"),
        (
            {"shared_dirs": ["sqlite"], "processes": {"mail": "node mail.js"}},
            {"storage_class": "nfs", "replicas": 1},
            "sqlite names a SQLite file, and 2 copies",
        ),
        (
            {"shared_dirs": ["data"], "start_command": "serve --db data/app.sqlite3"},
            {"storage_class": "nfs"},
            "start_command names a SQLite file, and 3 copies",
        ),
        ({"cron": {"last": {"schedule": "0 3 L * *", "command": "x"}}}, {}, "cron.last.schedule"),
        ({"processes": {"release": "x"}}, {}, "'release'"),
        ({"processes": {"a-b": "x", "a_b": "x"}}, {}, "'a_b' and 'a-b' have the same name"),
        ({"cron": {n: {"schedule": "@daily", "command": "x"} for n in ("a-b", "a_b")}}, {}, "cron"),
    ],
)
def test_refused(fields: Fields, engine: Fields, says: str) -> None:
    with pytest.raises(Impossible, match=says) as error:
        mapping.refuse(app(fields, engine))
    assert error.value.hint


def test_sqlite_in_variables_is_refused_for_several_copies_alone() -> None:
    variables = {"DATABASE_URL": "sqlite:///data/app.db"}
    shared: Fields = {"shared_dirs": ["data"]}

    with pytest.raises(Impossible, match="DATABASE_URL names a SQLite file"):
        mapping.refuse_values(app(shared, {"storage_class": "nfs"}), variables)
    mapping.refuse_values(app(shared, {"replicas": 1}), variables)
    mapping.refuse_values(app({}, {"replicas": 2}), variables)
    mapping.refuse_values(app(shared, {"storage_class": "nfs"}), {"DATABASE_URL": "postgres://db/shop"})


def test_status_that_only_our_check_knows_is_refused_for_the_users_own_image() -> None:
    of = msgspec.structs.replace(app({"health_status": 401}), own_dockerfile=True)

    with pytest.raises(Impossible, match="health_status"):
        mapping.refuse(of)


@pytest.mark.parametrize(
    ("fields", "engine", "says"),
    [
        ({"watch_ms": 1000}, {}, "watch_ms has no effect"),
        ({"rehearse": ["/"]}, {}, "rehearse has no effect"),
        ({"access_log": "access.log"}, {}, "access_log has no effect"),
        ({"notify": ["$OPS"]}, {}, "notify has no effect"),
        ({"processes": {"w": {"command": "x", "quiet_signal": "TSTP"}}}, {}, "processes.w.quiet_signal is not sent"),
        ({"processes": {"w": {"command": "x", "count": 2}}}, {}, "PROCESS_INDEX"),
        ({"cron": {"n": {"schedule": "@daily", "command": "x"}}}, {}, "cron_timezone is not set"),
        ({}, {}, "domains is not set"),
        ({"domains": ["a.example"], "redirects": {"b.example": "a.example"}}, {}, "only ingress-nginx"),
        ({"domains": ["a.example"]}, {}, "engine.issuer is not set"),
        ({"domains": ["a.example"], "tls": {"cert": "c", "key": "k"}}, {}, "kubectl create secret tls shop-tls"),
        ({"strategy": "replace"}, {}, "visitors get 503"),
        ({"shared_dirs": ["uploads"]}, {"replicas": 1}, "one node has the volume"),
    ],
)
def test_warned_of(fields: Fields, engine: Fields, says: str) -> None:
    assert any(says in warning for warning in mapping.refuse(app(fields, engine)))


def test_nothing_to_say() -> None:
    assert mapping.refuse(app({"domains": ["a.example"]}, {"issuer": "letsencrypt"})) == []
