"""What Bundler and Composer depend on."""

import json
import posixpath
import re

from slot_machine.core.setup.command import Install
from slot_machine.core.setup.files import Files, Found, upwards

BUNDLER = ("Gemfile.lock", "gems.locked", "Gemfile", "gems.rb", ".bundle/config", ".ruby-version", ".tool-versions")
LOCAL_GEM = re.compile(r"^PATH$", re.MULTILINE)
COMMENT = re.compile(r"#(?!\{).*")
OTHER_CODE = re.compile(
    r"\b(\w*eval\w*|require(_relative)?[ (]|load|gemspec|open\(|(File|Dir|IO|Pathname|YAML|JSON|ENV)\b)"
)


def bundler(install: Install, files: Files) -> Found:
    found = Found(posixpath.join(install.folder, "vendor/bundle"))
    for place in upwards(install.folder):
        found.add(files, place, BUNDLER[2:])
    found.locks = found.add(files, install.folder, BUNDLER[:2])
    if not found.locks:
        found.doubts.append("there is no lock file")
    found.doubts += [f"{lock} has local gems" for lock in found.locks if LOCAL_GEM.search(files.read(lock))]
    for name in ("Gemfile", "gems.rb"):
        path = posixpath.join(install.folder, name)
        if files.has(path) and OTHER_CODE.search(COMMENT.sub("", files.read(path))):
            found.doubts.append(f"{path} reads other files or variables")
    return found


def composer(install: Install, files: Files) -> Found:
    found = Found(posixpath.join(install.folder, "vendor"))
    found.locks = found.add(files, install.folder, ("composer.lock",))
    for path in found.add(files, install.folder, ("composer.json",)):
        try:
            manifest = json.loads(files.read(path))
        except (ValueError, RecursionError):
            manifest = None
        if not isinstance(manifest, dict) or not {"scripts", "autoload"}.isdisjoint(manifest):
            found.doubts.append(f"{path} has scripts or an autoloader of the app's own classes")
    found.doubts += [] if found.locks else ["there is no lock file"]
    found.doubts += [f"{lock} has local packages" for lock in found.locks if '"type": "path"' in files.read(lock)]
    return found
