"""Data that all versions share, of an app that is another user's than its daemon."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.another_user import AnothersSite
from tests.users import NAMED, NOBODY, needs_root, public_folder

pytestmark = needs_root


@pytest.fixture
def site() -> Iterator[AnothersSite]:
    with contextmanager(_site)() as site:
        yield site


def _site() -> Iterator[AnothersSite]:
    with public_folder() as folder:
        site = AnothersSite(folder, NAMED, NOBODY)
        site.config["app_config"] = "app.json"
        yield site
        site.close()


def deploy(site: AnothersSite, version: str, *shared: str) -> list[object]:
    """Returns the warnings."""
    names = ", ".join(f'"{name}"' for name in shared)
    command = str(site.config["start_command"]).replace('"', '\\"')
    site.commit(version, {"app.json": f'{{"start_command": "{command}", "shared_dirs": [{names}]}}'})
    reply = site.post("/deploy", {"commit": "HEAD"})
    assert reply.status == 200, reply
    assert isinstance(reply.body["warnings"], list)
    return reply.body["warnings"]


def as_app(site: AnothersSite, script: str) -> None:
    site.as_user("sh", "-c", f"cd {site.data / 'live'}/ && {script}")


def owners(folder: Path) -> set[int]:
    return {path.lstat().st_uid for path in (folder, *folder.rglob("*"))}


def test_data_moves_with_the_users_rights_and_stays_the_users(site: AnothersSite) -> None:
    site.start()
    deploy(site, "one")
    as_app(site, "mkdir -p public/uploads && echo mine > public/uploads/a")

    deploy(site, "two", "public/uploads", "data")
    as_app(site, "echo more > public/uploads/b && echo more > data/b")
    deploy(site, "three", "public/uploads", "data")

    assert owners(site.data / "shared") == {NOBODY}
    assert {path.name for path in (site.data / "live/public/uploads").iterdir()} == {"a", "b"}
    assert site.post("/rollback").status == 200
    assert (site.data / "live/data/b").read_text() == "more\n"
    assert site.status()["shared"] == {"public/uploads": "linked", "data": "linked"}


def test_links_of_the_app_lead_root_nowhere(site: AnothersSite) -> None:
    """The app puts links to what is root's in place of its folders, in its tree and in `shared`."""
    roots = site.folder / "roots"
    (roots / "uploads").mkdir(parents=True)
    (roots / "uploads" / "secret").write_text("root's")
    roots.chmod(0o700)
    site.start()
    deploy(site, "one")
    as_app(site, f"ln -s {roots} public && ln -s {roots}/uploads data")

    site.commit("two", {"app.json": '{"start_command": "x", "shared_dirs": ["public/uploads", "data"]}'})
    refused = site.post("/deploy", {"commit": "HEAD"})
    assert refused.status == 500
    as_app(site, f"rm data && rm -rf {site.data}/shared/public && ln -s {roots} {site.data}/shared/public")
    deploy(site, "three", "data")
    site.commit("four", {"app.json": '{"start_command": "x", "shared_dirs": ["public/uploads"]}'})
    assert site.post("/deploy", {"commit": "HEAD"}).status == 500

    assert [path.name for path in roots.rglob("*")] == ["uploads", "secret"]
    assert owners(roots) == {0}
    assert site.serving() == "three"
