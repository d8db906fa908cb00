"""What becomes of assets, with real files in three trees."""

import errno
import itertools
import os
from pathlib import Path

import pytest

from slot_machine.host.files import assets
from slot_machine.host.files.assets import Links, Pool

DIRS = ("public/assets",)


class Site:
    """Trees `tree-N`, and the pool beside them."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.pool = Pool(data)
        self.links: dict[str, Links] = {}

    def build(self, tree: str, **files: str) -> None:
        """The keywords stand for names: `app_1a_js` for `app-1a.js`."""
        for name, text in files.items():
            stem, _, ending = name.replace("_", "-").rpartition("-")
            self.write(f"{tree}/public/assets/{stem}.{ending}", text)

    def write(self, name: str, text: str) -> None:
        path = self.data / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def collect(self, tree: str) -> None:
        foreign = {os.fsdecode(name): state for name, state in self.links.get(tree, {}).items()}
        self.pool.collect(tree, self.data / tree, DIRS, foreign)

    def link(self, tree: str, keep: int = 3) -> None:
        folder, present = self.data / tree, self.links.get(tree, {})
        links, lacking = assets.planned(folder, folder, self.pool.wanted(tree, DIRS, keep), present)
        assets.remove(folder, present, links)
        assets.link(lacking)
        self.links[tree] = links

    def clear(self, tree: str) -> None:
        assets.remove(self.data / tree, self.links[tree], {})
        assets.remove_empty_folders(self.data / tree, self.links.pop(tree))

    def served(self, tree: str) -> dict[str, str]:
        folder = self.data / tree / "public/assets"
        return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def deploy(site: Site, new: str, old: str, keep: int = 3) -> None:
    site.collect(old)
    site.link(new, keep)


def test_new_version_serves_what_only_the_old_one_has(site: Site) -> None:
    site.build("tree-1", app_11111aaa_js="v1", both_22222bbb_js="same", app_js="plain v1")
    site.build("tree-2", app_33333ccc_js="v2", both_22222bbb_js="same")
    own = (site.data / "tree-2/public/assets/both-22222bbb.js").stat()

    deploy(site, "tree-2", "tree-1")

    assert site.served("tree-2") == {"app-11111aaa.js": "v1", "app-33333ccc.js": "v2", "both-22222bbb.js": "same"}
    assert site.served("tree-1").keys() == {"app-11111aaa.js", "both-22222bbb.js", "app.js"}
    assert (site.data / "tree-2/public/assets/both-22222bbb.js").stat() == own


def test_new_version_wins_where_a_path_has_other_bytes(site: Site) -> None:
    site.write("tree-1/public/assets/8sSVHKF0U3puBl_TQwkp5/_buildManifest.js", "v1")
    site.write("tree-1/public/assets/8sSVHKF0U3puBl_TQwkp5/index.js", "v1")
    site.write("tree-2/public/assets/8sSVHKF0U3puBl_TQwkp5/_buildManifest.js", "v2")

    deploy(site, "tree-2", "tree-1")

    assert site.served("tree-2") == {
        "8sSVHKF0U3puBl_TQwkp5/_buildManifest.js": "v2",
        "8sSVHKF0U3puBl_TQwkp5/index.js": "v1",
    }


def test_of_the_same_name_in_two_earlier_versions_the_latest_one_counts(site: Site) -> None:
    site.build("tree-1", app_11111aaa_js="v1")
    site.build("tree-2", app_11111aaa_js="v2")
    site.write("tree-3/index.html", "")
    site.collect("tree-1")
    deploy(site, "tree-3", "tree-2")

    assert site.served("tree-3") == {"app-11111aaa.js": "v2"}


def test_after_a_rollback_the_newer_version_is_served_as_well(site: Site) -> None:
    site.build("tree-1", app_11111aaa_js="v1")
    site.build("tree-2", app_22222bbb_js="v2")
    deploy(site, "tree-2", "tree-1")

    deploy(site, "tree-1", "tree-2")

    assert site.served("tree-1") == {"app-11111aaa.js": "v1", "app-22222bbb.js": "v2"}
    assert sorted(path.name for path in site.pool.root.iterdir()) == ["1-tree-1", "2-tree-2"]


def test_assets_outlive_their_tree_and_leave_after_the_last_version_that_keeps_them(site: Site) -> None:
    trees = [f"tree-{number}" for number in range(1, 6)]
    for number, tree in enumerate(trees, start=1):
        site.build(tree, **{f"app_{number}0000abc_js": f"v{number}"})
    for old, new in itertools.pairwise(trees):
        deploy(site, new, old, keep=2)
        site.pool.prune(new, 2)
        for path in (site.data / old / "public/assets").iterdir():
            path.unlink()

    assert site.served("tree-5") == {"app-50000abc.js": "v5", "app-40000abc.js": "v4", "app-30000abc.js": "v3"}
    assert {path.name for path in site.pool.root.iterdir()} == {"2-tree-2", "3-tree-3", "4-tree-4"}
    assert (site.pool.root / "2-tree-2/public/assets/app-20000abc.js").exists(), "for `forget`"


def test_what_a_version_has_of_others_is_not_counted_as_its_own(site: Site) -> None:
    site.build("tree-1", app_11111aaa_js="v1")
    site.build("tree-2", app_22222bbb_js="v2")
    site.build("tree-3", app_33333ccc_js="v3")
    deploy(site, "tree-2", "tree-1", keep=1)
    deploy(site, "tree-3", "tree-2", keep=1)

    assert site.served("tree-3") == {"app-33333ccc.js": "v3", "app-22222bbb.js": "v2"}


def test_rollback_takes_back_what_is_not_wanted_any_more(site: Site) -> None:
    for number in (1, 2, 3):
        site.build(f"tree-{number}", **{f"app_{number}0000abc_js": f"v{number}"})
    deploy(site, "tree-2", "tree-1", keep=1)
    deploy(site, "tree-3", "tree-2", keep=1)

    deploy(site, "tree-2", "tree-3", keep=1)

    assert site.served("tree-2") == {"app-20000abc.js": "v2", "app-30000abc.js": "v3"}


def test_no_write_into_one_tree_changes_another(site: Site) -> None:
    site.build("tree-1", app_11111aaa_js="v1")
    site.build("tree-2", app_22222bbb_js="v2")
    site.build("tree-3", app_33333ccc_js="v3")
    deploy(site, "tree-2", "tree-1")
    deploy(site, "tree-3", "tree-2")
    theirs = site.data / "tree-3/public/assets/app-11111aaa.js"
    own = site.data / "tree-1/public/assets/app-11111aaa.js"
    assert theirs.stat().st_ino == (site.data / "tree-2/public/assets/app-11111aaa.js").stat().st_ino
    assert not theirs.stat().st_mode & 0o222

    with own.open("r+") as file:
        file.write("v1 in place")
    site.clear("tree-2")
    site.build("tree-2", app_11111aaa_js="another build")

    assert theirs.read_text() == "v1"
    assert site.served("tree-2") == {"app-22222bbb.js": "v2", "app-11111aaa.js": "another build"}


def test_what_an_earlier_build_left_in_its_tree_is_forgotten_if_there_is_a_copy(site: Site) -> None:
    site.build("tree-1", app_11111aaa_js="v1", logo_22222bbb_png="changed", icon_33333ccc_png="failed", plain_js="x")
    site.build("tree-2", app_11111aaa_js="v1", logo_22222bbb_png="as it was", plain_js="x")
    site.collect("tree-2")

    built = {
        f"public/assets/{name}": state
        for name in site.served("tree-1")
        if (state := assets.state(site.data / "tree-1/public/assets" / name))
    }
    site.build("tree-1", upload_44444ddd_jpg="photo")
    site.build("tree-2", upload_44444ddd_jpg="photo")
    site.collect("tree-2")
    site.pool.forget(site.data / "tree-1", DIRS, built)

    kept = {"logo-22222bbb.png", "icon-33333ccc.png", "plain.js", "upload-44444ddd.jpg"}
    assert site.served("tree-1").keys() == kept


def test_nothing_is_left_where_no_version_is_kept(site: Site) -> None:
    site.build("tree-1", app_11111aaa_js="v1")
    site.collect("tree-1")

    site.pool.prune("tree-2", 0)

    assert list(site.pool.root.iterdir()) == []


def test_file_that_replaced_a_link_stays(site: Site) -> None:
    site.build("tree-1", app_11111aaa_js="v1")
    site.write("tree-2/public/assets/keep.txt", "")
    deploy(site, "tree-2", "tree-1")
    path = site.data / "tree-2/public/assets/app-11111aaa.js"
    path.unlink()
    path.write_text("of the app")

    site.clear("tree-2")

    assert path.read_text() == "of the app"


def test_folders_that_only_links_needed_leave_with_them(site: Site) -> None:
    site.write("tree-1/public/assets/3f2a9c1b4d5e/js/app.js", "v1")
    site.write("tree-2/index.html", "")
    deploy(site, "tree-2", "tree-1")
    folder = site.data / "tree-2/public/assets/3f2a9c1b4d5e"
    assert folder.stat().st_mode & 0o777 == 0o777 & ~_umask()

    site.clear("tree-2")

    assert [path.name for path in (site.data / "tree-2").iterdir()] == ["index.html"]


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


@pytest.mark.parametrize("linked", ["public", "public/assets"])
def test_no_symlink_is_followed(site: Site, linked: str, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    (outside / "assets").mkdir(parents=True)
    site.build("tree-1", app_11111aaa_js="v1")
    link = site.data / "tree-2" / linked
    link.parent.mkdir(parents=True)
    link.symlink_to(outside)
    (outside / "secret-3f2a9c1b.js").write_text("of others")

    deploy(site, "tree-2", "tree-1")
    site.collect("tree-2")

    assert sorted(path.name for path in outside.rglob("*")) == ["assets", "secret-3f2a9c1b.js"]
    assert not list(site.pool.root.rglob("secret*"))


def test_only_regular_files_are_assets(site: Site) -> None:
    folder = site.data / "tree-1/public/assets"
    folder.mkdir(parents=True)
    os.mkfifo(folder / "pipe-3f2a9c1b.js")
    (folder / "link-3f2a9c1b.js").symlink_to("/etc/passwd")
    site.write("tree-1/public/assets/.cache/app-3f2a9c1b.js", "hidden")

    assert list(assets.found(site.data / "tree-1", DIRS)) == []


def test_second_look_at_the_same_version_copies_nothing(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.build("tree-1", app_11111aaa_js="v1")
    site.collect("tree-1")
    before = (site.pool.root / "1-tree-1/public/assets/app-11111aaa.js").stat()
    monkeypatch.setattr("shutil.copyfile", None)

    site.collect("tree-1")

    assert (site.pool.root / "1-tree-1/public/assets/app-11111aaa.js").stat() == before


def test_same_bytes_of_two_versions_take_the_space_of_one(site: Site) -> None:
    site.build("tree-1", app_11111aaa_js="same")
    site.build("tree-2", app_11111aaa_js="same")
    site.collect("tree-1")
    site.collect("tree-2")

    one, two = (path.stat() for path in site.pool.root.rglob("*.js"))
    assert one.st_ino == two.st_ino


def test_file_is_copied_where_no_link_is_possible(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def impossible(*_: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    site.build("tree-1", app_11111aaa_js="v1")
    site.write("tree-2/x", "")
    site.collect("tree-1")
    monkeypatch.setattr(Path, "hardlink_to", impossible)

    site.link("tree-2")
    assert site.served("tree-2") == {"app-11111aaa.js": "v1"}
    site.clear("tree-2")
    assert site.served("tree-2") == {}


def test_full_disk_leaves_no_half_a_file(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: Path, target: Path, **__: object) -> None:
        target.write_text("ha")
        raise OSError(errno.ENOSPC, "No space left on device")

    site.build("tree-1", app_11111aaa_js="v1")
    monkeypatch.setattr("shutil.copyfile", full)

    with pytest.raises(OSError, match="No space left"):
        site.collect("tree-1")

    assert [path for path in site.pool.root.rglob("*") if path.is_file()] == []
