"""A page that was loaded before a switch still finds its scripts after it."""

import hashlib
import os
import shlex
import signal
import sys
from pathlib import Path

import pytest
from spec.waiting import wait_until
from spec.web import call

from tests.world import Site, Value, serves

BUILD = """set -e
mkdir -p public/assets
name=app-$(sha256sum app.js | cut -c 1-8).js
cp app.js public/assets/$name
echo "{\\"app\\": \\"$name\\"}" > public/assets/manifest.json
echo "<script src=/assets/$name></script>" > public/index.html
"""


class Shop:
    """A site with static files that its build makes."""

    def __init__(self, site: Site) -> None:
        self.site = site

    def start(self, **config: Value) -> None:
        settings: dict[str, Value] = {
            "start_command": f"exec {shlex.quote(sys.executable)} -m http.server $PORT -b 127.0.0.1 -d public",
            "build_command": "sh build.sh",
            "health_endpoint": "/",
            "asset_dirs": ["public/assets"],
        }
        self.site.start(**(settings | config))

    def commit(self, version: str, *, build: str = BUILD, ignored: str = "public/\n") -> None:
        files = {"app.js": f"/* {version} */", "build.sh": build}
        gitignore = f".slot-machine\nslot-machine.json\n{ignored}"
        self.site.commit(version, {**files, ".gitignore": gitignore})

    def deploy(self, version: str, **options: str) -> str:
        """Returns the address of the script that the page of this version asks for."""
        self.commit(version, **options)
        reply = self.site.post("/deploy", {"commit": "HEAD"})
        assert reply.status == 200, reply
        assert reply.body["warnings"] == []
        return self.script()

    def script(self) -> str:
        _, page = self.site.get("/")
        return page.split("src=")[1].split(">")[0]

    def rollback(self) -> None:
        reply = self.site.post("/rollback")
        assert reply.status == 200, reply
        assert reply.body["warnings"] == []


@pytest.fixture
def shop(site: Site) -> Shop:
    return Shop(site)


@pytest.mark.parametrize("ignored", ["public/\n", ""], ids=["ignored", "not ignored"])
def test_page_of_an_earlier_version_finds_its_script(shop: Shop, ignored: str) -> None:
    site = shop.site
    shop.start()
    first = shop.deploy("v1", ignored=ignored)
    second = shop.deploy("v2", ignored=ignored)

    assert first != second
    assert site.get(first) == (200, "/* v1 */")
    assert site.get(second) == (200, "/* v2 */")

    shop.rollback()
    assert shop.script() == first
    assert site.get(first) == (200, "/* v1 */")
    assert site.get(second) == (200, "/* v2 */"), "a page of v2 is still open somewhere"

    scripts = [first, second, *(shop.deploy(f"v{number}", ignored=ignored) for number in range(3, 7))]
    assert [site.get(script)[0] for script in scripts] == [404, 404, 200, 200, 200, 200], "asset_keep is 3"
    assert len(list((site.data / "assets").iterdir())) == 3
    assert not (site.data / "kept").exists(), "no file of another version counts as one that the app wrote"


@pytest.mark.parametrize("way", ["share", "watch"])
def test_page_of_a_version_that_was_taken_back_finds_its_script(shop: Shop, way: str) -> None:
    site = shop.site
    shop.start(**({"watch_ms": 60_000} if way == "watch" else {}))
    first = shop.deploy("v1")
    shop.commit("v2")
    if way == "share":
        assert site.post("/deploy", {"commit": "HEAD", "hold": True}).status == 200
        assert site.post("/promote", {"share": 50}).status == 200
    else:
        assert site.post("/deploy", {"commit": "HEAD", "detach": True}).status == 200

    assert site.post("/abort", {}).status == 200

    assert shop.script() == first
    second = f"/assets/app-{hashlib.sha256(b'/* v2 */').hexdigest()[:8]}.js"
    assert site.get(second) == (200, "/* v2 */")
    assert not (site.data / "kept").exists(), "it does not count as a file that the app wrote"


def test_assets_that_are_committed_come_and_go_with_their_commits(shop: Shop) -> None:
    site = shop.site
    shop.start(build_command="true")
    page, scripts = "<script src=/assets/{name}>", []
    for number in range(1, 6):
        name = f"app-{number}0000abc.js"
        shop.commit(f"v{number}", ignored="")
        files = {"public/assets/shared-3f2a9c1b.js": "shared", f"public/assets/{name}": f"v{number}"}
        if number > 1:
            (site.repo / "public" / "assets" / f"app-{number - 1}0000abc.js").unlink()
        site.commit(f"v{number}", files | {"public/index.html": page.format(name=name)})
        reply = site.post("/deploy", {"commit": "HEAD"})
        assert (reply.status, reply.body["warnings"]) == (200, [])
        scripts.append(f"/assets/{name}")

    assert [site.get(script)[0] for script in scripts] == [404, 200, 200, 200, 200]
    assert site.get("/assets/shared-3f2a9c1b.js") == (200, "shared")
    assert not (site.data / "kept").exists()
    shop.rollback()
    assert site.get(scripts[-1]) == (200, "v5")


def test_failed_deploys_use_up_nothing(shop: Shop) -> None:
    shop.start(asset_keep=1)
    first = shop.deploy("v1")
    shop.deploy("v2")
    for number in range(3):
        shop.commit(f"broken {number}", build=f"{BUILD}echo broken; exit 3")
        assert shop.site.post("/deploy", {"commit": "HEAD"}).status == 500

    assert shop.site.get(first) == (200, "/* v1 */")
    shop.deploy("v3")
    assert shop.site.get(first)[0] == 404


def test_build_that_writes_in_place_changes_no_byte_that_another_version_serves(shop: Shop) -> None:
    shop.start()
    scripts = [shop.deploy("v1")]
    in_place = f"for name in public/assets/*.js; do echo broken >> $name; done\nrm -rf public\n{BUILD}"
    scripts += [shop.deploy(f"v{number}", build=in_place) for number in range(2, 8)]

    assert [shop.site.get(script)[1] for script in scripts[3:]] == [f"/* v{number} */" for number in range(4, 8)]


def test_assets_are_there_after_a_restart_and_a_recovery(shop: Shop) -> None:
    site = shop.site
    shop.start()
    first = shop.deploy("v1")
    shop.deploy("v2")

    pid = site.status()["pid"]
    assert isinstance(pid, int)
    os.kill(pid, signal.SIGKILL)
    wait_until("it was started again", lambda: site.status()["pid"] not in (0, pid) and serves(site))
    assert site.get(first) == (200, "/* v1 */")

    site.daemons[-1].stop()
    (script,) = (site.data / "live/public/assets").glob(Path(first).name)
    script.unlink()
    shop.start()
    wait_until("it serves", lambda: serves(site))
    assert site.get(first) == (200, "/* v1 */")


def test_version_without_asset_dirs_serves_its_own_only(shop: Shop) -> None:
    shop.start(asset_dirs=[])
    first = shop.deploy("v1")
    shop.deploy("v2")

    assert shop.site.get(first)[0] == 404
    assert not (shop.site.data / "assets").exists()
    assert call(shop.site.api_port, "GET", "/status").status == 200
