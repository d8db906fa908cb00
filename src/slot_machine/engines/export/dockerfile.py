"""An app's image as a Dockerfile, for the repository's top folder."""

import asyncio
import shlex
from pathlib import Path

from slot_machine.core.errors import ConfigError
from slot_machine.engines.export.readme import Readme
from slot_machine.engines.image import build, dockerfile
from slot_machine.engines.image.checkout import checked_out
from slot_machine.engines.image.dockerfile import Places
from slot_machine.engines.shape import App
from slot_machine.host.git import contents
from slot_machine.host.git.git import Git

FILE = "Dockerfile"
SHIM = "shim.sh"


def files(app: App, repo: Path, target: Path) -> dict[str, str]:
    """By path. `target` is the folder in which they will lie. Raises ConfigError, GitFailed, StageFailed."""
    own = asyncio.run(contents.path_in_repository(Git(repo), repo.resolve(), target.resolve()))
    if not own:
        raise ConfigError(
            f"{target} is not in the repository, from whose top folder docker builds", "name a folder below it"
        )
    if dockerfile.ODD.search(own):
        raise ConfigError(f"{own!r} has characters that mean something to the builder", "name another folder")
    with checked_out(repo, app.commit, app.version.root) as checkout:
        if (checkout.folder / app.version.root / FILE).exists():
            raise ConfigError(
                f"the app has a {FILE} of its own, of which deploys make the image",
                f"remove it from the repository to have one made of slot-machine.json, or use that {FILE}",
            )
        text = build.written(app, checkout, Places(".", own))
        ignored = dockerfile.ignored(app, checkout.top) + f"!{own}/{SHIM}\n"
    readme = Readme(app, "dockerfile", "Docker")
    readme.step(
        "The image",
        f"docker build --tag {app.image} --file {shlex.quote(f'{own}/{FILE}')} .",
        f"In the repository's top folder. A builder without BuildKit does not read {FILE}.dockerignore: copy it to"
        " `.dockerignore` there, so that `env_file` does not get into the image.",
    )
    return {FILE: text, f"{FILE}.dockerignore": ignored, SHIM: build.shim_text(), "README.md": readme.text()}
