"""An app as a stack file for Docker Swarm."""

import shlex

from slot_machine.engines.export.readme import Readme
from slot_machine.engines.image import variables
from slot_machine.engines.shape import App, Values
from slot_machine.engines.swarm import names, one_off, stack, stack_file
from slot_machine.engines.swarm.docker import options
from slot_machine.engines.swarm.labels import NETWORK
from slot_machine.engines.swarm.one_off import Job

FILE = "stack.yml"


def files(app: App, values: Values, *, with_secrets: bool) -> dict[str, str]:
    """By path. With `with_secrets`, one of them has the values of the variables. Raises Impossible."""
    made = {FILE: stack_file.text(stack.stack(app))}
    readme = Readme(app, "swarm", "Docker Swarm")
    own, label = names.network(app.name), f"{names.STACK}={app.name}"
    readme.step(
        "Once: the networks",
        f"docker network create --driver overlay --label {label} {own}\n"
        f"docker network create --driver overlay --attachable {NETWORK}",
        "`slot-machine edge install` makes the second one, too, with the edge.",
    )
    readme.image()
    for label in stack.constraints(app):
        name, _, value = label.removeprefix("node.labels.").partition("==")
        readme.step("The nodes that may run it", f"docker node update --label-add {name}={value} NODE")
    if app.env_digest:
        secret = names.secret(app.name, app.env_digest)
        file = f"secrets/{secret}"
        if with_secrets:
            made[file] = variables.written(values.variables)
        marks = shlex.join(options("--label", names.secret_labels(app.name, app.env_digest)))
        readme.secret(f"docker secret create {marks} {secret} {file}", file, with_secrets=with_secrets)
    if app.version.release_command:
        job = Job("release", f"{app.name}-release-{app.commit[:12]}", [app.version.release_command], 0)
        words = ["docker", *(word for word in one_off.creation(app, job) if word != "--detach")]
        readme.step(
            "The release command, once, before the update",
            shlex.join(words),
            f"Go on only if it ends with 0: `docker service ps {job.name}`. Then `docker service rm {job.name}`. It has"
            " to bear a second run.",
        )
    login = " --with-registry-auth" if app.engine.registry else ""
    readme.step("The update", f"docker stack deploy --resolve-image never{login} --compose-file {FILE} {app.name}")
    readme.note(
        "`docker stack deploy` returns before the update has ended, and a version that does not become healthy is"
        " rolled back by the engine, service by service: look at `docker service ps`. `slot-machine deploy` waits, and"
        " takes all services back. A process that is gone from the file keeps running: remove it by"
        " `docker service rm`."
    )
    return made | {"README.md": readme.text()}
