"""The README of an export: what to do with its files, in the order of a deploy."""

from slot_machine.core.model import short
from slot_machine.engines.shape import App


class Readme:
    def __init__(self, app: App, kind: str, title: str) -> None:
        self._app = app
        self._parts = [
            f"# {app.name} on {title}",
            f"Files of commit {short(app.commit)}, written by `slot-machine export {kind}`. The steps are in the order"
            " of a deploy.",
        ]
        self._steps = 0

    def step(self, title: str, commands: str, note: str = "") -> None:
        self._steps += 1
        self._parts += [f"## {self._steps}. {title}", f"```sh\n{commands}\n```", *([note] if note else [])]

    def image(self) -> None:
        image = self._app.image
        bring = f"docker push {image}" if self._app.engine.registry else f"docker save {image} | ssh NODE docker load"
        self.step(
            "The image",
            f"docker build --tag {self._app.image} --file slot-machine-export/dockerfile/Dockerfile .\n{bring}",
            "In the repository's top folder, at that commit, after `slot-machine export dockerfile`.",
        )

    def secret(self, command: str, file: str, *, with_secrets: bool) -> None:
        note = (
            "That file has the values: keep it out of git."
            if with_secrets
            else f"`slot-machine export --with-secrets` writes {file}; keep it out of git. The digest in the name is"
            " that of the values: other values need another name."
        )
        self.step("The variables of env_file", command, note)

    def note(self, text: str) -> None:
        self._parts += ["## What to know", text]

    def text(self) -> str:
        return "\n\n".join(self._parts) + "\n"
