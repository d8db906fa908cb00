"""From `git push` to a visitor: good and bad versions pushed while visitors come over HTTPS."""

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.https.conftest import Edge, until
from tests.https.visitors import Load, Talk, get
from tests.pushing import Pushed
from tests.world import installed

APP = Path(__file__).with_name("app.py")


@pytest.fixture
def pushed(tmp_path: Path) -> Iterator[Pushed]:
    pushed = Pushed(installed(), tmp_path)
    shutil.copy(APP, pushed.repo / "web.py")
    pushed.config["start_command"] = f"exec {sys.executable} web.py $PORT"
    yield pushed
    pushed.close()


def test_good_and_bad_versions_are_pushed_under_load(start_edge: Callable[..., Edge], pushed: Pushed) -> None:
    edge = start_edge()
    pushed.begin(domains=["shop.test"], tls="internal")
    first = pushed.version("first", {"drain_timeout_ms": 2000})
    pushed.must_push()
    until(lambda: f"version {first}" in get(edge, "https://shop.test/").stdout)
    with Load(edge, "shop.test").running() as load, Talk(edge, "shop.test").running() as talk:
        second = pushed.version("second", {"drain_timeout_ms": 2000})
        assert "is live in slot b" in pushed.must_push()
        assert f"version {second}" in get(edge, "https://shop.test/").stdout
        until(lambda: talk.goodbyes == 1 or talk.failed)
        pushed.version("bad", {"start_command": "exec sleep 60", "health_timeout_ms": 1000})
        code, said = pushed.push()
        assert code == 1
        assert "[remote rejected] main -> main (health: " in said
        assert pushed.tip() == second
        echoes = talk.echoes
        until(lambda: talk.echoes > echoes + 20 or talk.failed)
        assert f"version {second}" in get(edge, "https://shop.test/").stdout
    assert (load.failed, load.closed) == ([], 0)
    assert (talk.failed, talk.goodbyes) == ([], 1), "a bad version ends no WebSocket"
    assert load.versions == {first, second}
