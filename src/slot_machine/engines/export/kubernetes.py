"""An app as manifests for Kubernetes."""

from slot_machine.engines import yaml_text
from slot_machine.engines.export.readme import Readme
from slot_machine.engines.kubernetes import jobs, manifests, names, pod, storage
from slot_machine.engines.shape import App, Values

FILE = "app.yaml"
SECRET = "secret.yaml"
RELEASE = "release-job.yaml"
FIRST_WITH_SLEEP = "1.30"


def files(app: App, values: Values, *, with_secrets: bool, with_release: bool) -> dict[str, str]:
    """By path. Raises Impossible."""
    namespace = pod.settings(app).namespace
    apply = (
        f"kubectl{f' --namespace {namespace}' if namespace else ''} apply --server-side --field-manager slot-machine"
    )
    made = {FILE: yaml_text.documents(manifests.objects(app))}
    readme = Readme(app, "kubernetes", "Kubernetes")
    readme.image()
    if app.env_digest:
        made[SECRET] = yaml_text.documents([storage.secret(app, values if with_secrets else None)])
        readme.secret(
            f"{apply} -f {SECRET}",
            f"the data of `{names.env_secret(app.name, app.env_digest)}` in {SECRET}",
            with_secrets=with_secrets,
        )
    if app.version.release_command:
        job = names.release_job(app)
        if with_release:
            made[RELEASE] = yaml_text.documents([jobs.release(app)])
        readme.step(
            "The release command, once, before the update",
            f"{apply} -f {RELEASE}\nkubectl wait --for=condition=complete --timeout={_limit_s(app)}s job/{job}",
            f"`{RELEASE}` is written with `--with-release`. It is not among the other files, because a tool that"
            " applies all files again would run it again once its Job is gone. It has to bear a second run.",
        )
    readme.step(
        "The update",
        f"{apply} -f {FILE}\n"
        f"kubectl rollout status --timeout={_rollout_s(app)}s deployment/{names.deployment(app, 'web')}",
    )
    readme.note(
        f"The files need Kubernetes {FIRST_WITH_SLEEP} or later. A version that does not become healthy stays beside"
        " the old one, which goes on serving: apply the files of the commit before. `slot-machine deploy` waits, and"
        " does so by itself. An object that is gone from the file stays in the cluster: use a tool that prunes, or"
        " remove it."
    )
    return made | {"README.md": readme.text()}


def _limit_s(app: App) -> int:
    return round(app.version.release_timeout_s)


def _rollout_s(app: App) -> int:
    return round(300 + app.version.health_timeout_s) * app.engine.replicas
