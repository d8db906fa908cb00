"""What npm, pnpm, yarn and bun depend on."""

import json
import posixpath
import re
from collections.abc import Iterable

from slot_machine.core.setup.command import Install, is_inside
from slot_machine.core.setup.files import Files, Found, upwards

LOCKS = {
    "npm": ("package-lock.json", "npm-shrinkwrap.json"),
    "pnpm": ("pnpm-lock.yaml",),
    "yarn": ("yarn.lock",),
    "bun": ("bun.lock", "bun.lockb"),
}
MANIFEST = "package.json"
SETTINGS = (
    ".npmrc",
    ".yarnrc",
    ".yarnrc.yml",
    "bunfig.toml",
    "pnpm-workspace.yaml",
    ".pnpmfile.cjs",
    ".nvmrc",
    ".node-version",
    ".tool-versions",
    "mise.toml",
    ".mise.toml",
    "volta.json",
)
PATCHES = ("patches", ".yarn/patches", ".yarn/plugins", ".yarn/releases")

SCRIPTS = (
    "preinstall",
    "install",
    "postinstall",
    "prepublish",
    "preprepare",
    "prepare",
    "postprepare",
    "dependencies",
    "pnpm:devPreinstall",
)
"""Scripts of the root package that an install runs. They may read any file."""

ONLY_GIT = re.compile(r"husky( install)?( \|\| true)?")
"""Changes settings of git, and nothing that the app uses."""

LOCAL = re.compile(r"(file|link|portal|workspace):|[.~]{0,2}/")
LOCAL_IN_LOCK = re.compile(r'"link": ?true|["\s@](file|link|portal):|workspace:(?!\.["\s,)])')

WORKSPACES_OF_PNPM = "pnpm-workspace.yaml"
PACKAGES_OF_PNPM = re.compile(r"^packages:", re.MULTILINE)
PATCH_OF_PNPM = re.compile(r"""^ +.*: *["']?([^"'\s]+\.(?:patch|diff))["']? *$""", re.MULTILINE)
PATCH_OF_YARN = re.compile(r"[#&](?:optional!)?(?:~/)?([^#&~:]+\.(?:patch|diff))")

INCREMENTAL = {"npm": ("install", "i"), "pnpm": ("install", "i"), "yarn": ("install", ""), "bun": ("install", "i")}


def is_incremental(install: Install) -> bool:
    """Whether it uses packages that are there already. `npm ci` removes them first."""
    verb = next((word for word in install.words if not word.startswith("-")), "")
    return verb in INCREMENTAL.get(install.tool, ())


def inputs(install: Install, files: Files) -> Found:
    folder = install.folder
    found = Found(posixpath.join(folder, "node_modules"))
    manifests = found.add(files, folder, (MANIFEST,))
    found.locks = found.add(files, folder, LOCKS[install.tool])
    for place in upwards(folder):
        found.add(files, place, (*SETTINGS, *PATCHES))
    if not found.locks:
        elsewhere = Found("")
        above = [elsewhere.add(files, place, LOCKS[install.tool]) for place in upwards(folder)[1:]]
        found.inputs += elsewhere.inputs
        found.doubts.append(f"{above[0][0]} is for workspaces" if any(above) and above[0] else "there is no lock file")
    for manifest in manifests:
        _look_at(manifest, install, files, found)
    if install.tool == "pnpm":
        _look_at_workspaces(install, files, found)
    found.doubts += [f"{lock} has local packages" for lock in found.locks if LOCAL_IN_LOCK.search(files.read(lock))]
    if files.has(posixpath.join(folder, "binding.gyp")):
        found.doubts.append("binding.gyp is compiled from any file")
    return found


def _look_at(path: str, install: Install, files: Files, found: Found) -> None:
    try:
        manifest = json.loads(files.read(path))
    except (ValueError, RecursionError):
        manifest = None
    if not isinstance(manifest, dict):
        found.doubts.append(f"{path} can't be read")
        return
    if manifest.get("workspaces"):
        found.doubts.append(f"{path} has workspaces")
    if "--ignore-scripts" not in install.words:
        found.doubts += [f"{path} has a {name} script, which may read any file" for name in _scripts(manifest)]
    for kind in ("dependencies", "devDependencies", "optionalDependencies", "resolutions", "overrides"):
        for name, wanted in _texts(manifest.get(kind)):
            if LOCAL.match(wanted):
                found.doubts.append(f"{path} has the local package {name}")
            if wanted.startswith("patch:"):
                _add_patches(PATCH_OF_YARN.findall(wanted), path, install, files, found)
    pnpm = manifest.get("pnpm")
    for source in (manifest, pnpm if isinstance(pnpm, dict) else {}):
        _add_patches([patch for _, patch in _texts(source.get("patchedDependencies"))], path, install, files, found)


def _look_at_workspaces(install: Install, files: Files, found: Found) -> None:
    for path in (posixpath.join(place, WORKSPACES_OF_PNPM) for place in upwards(install.folder)):
        if files.has(path):
            text = files.read(path)
            found.doubts += [f"{path} has packages"] if PACKAGES_OF_PNPM.search(text) else []
            _add_patches(PATCH_OF_PNPM.findall(text), path, install, files, found)


def _add_patches(patches: Iterable[str], path: str, install: Install, files: Files, found: Found) -> None:
    """Patches that the manifest at `path` names."""
    for patch in patches:
        is_found = is_inside(install.folder, patch) and found.add(files, install.folder, (posixpath.normpath(patch),))
        if not is_found:
            found.doubts.append(f"{path} has the patch {patch}, which is not in the commit")


def _scripts(manifest: dict[str, object]) -> list[str]:
    scripts = dict(_texts(manifest.get("scripts")))
    return [name for name in SCRIPTS if name in scripts and not ONLY_GIT.fullmatch(scripts[name].strip())]


def _texts(value: object) -> list[tuple[str, str]]:
    return [(name, text) for name, text in value.items() if isinstance(text, str)] if isinstance(value, dict) else []
