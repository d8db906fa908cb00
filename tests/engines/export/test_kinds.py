"""What an export has in its files: all that a deploy applies, the same each time, and no value of a variable."""

import json

import pytest
import yaml

from slot_machine.core.config_file import parse
from slot_machine.engines.export import kubernetes, swarm
from slot_machine.engines.shape import App, Values, image_of

VALUES = Values({"DATABASE_URL": "postgres://u:secret-word@db/shop", "GREETING": "it's $HOME"})
COMMIT = "0123456789abcdef0123456789abcdef01234567"
ENGINES = {
    "swarm": {"kind": "swarm", "replicas": 3, "registry": "r.example.com/team"},
    "kubernetes": {"kind": "kubernetes", "replicas": 3, "registry": "r.example.com/team", "namespace": "shop"},
}
VERSION = {
    "start_command": "node server.js",
    "release_command": "npm run migrate",
    "processes": {"mail": "node mail.js"},
    "env_file": ".env",
    "domains": ["shop.example.com"],
}


def app(kind: str, **fields: object) -> App:
    config, _ = parse(json.dumps(VERSION | {"engine": ENGINES[kind]} | fields))
    assert config.daemon.engine
    return App(
        name="shop",
        commit=COMMIT,
        image=image_of(config.daemon.engine, "shop", COMMIT),
        version=config.version,
        daemon=config.daemon,
        env_digest=VALUES.digest,
    )


def exported(kind: str, *, with_secrets: bool = False, with_release: bool = False, **fields: object) -> dict[str, str]:
    if kind == "swarm":
        return swarm.files(app(kind, **fields), VALUES, with_secrets=with_secrets)
    return kubernetes.files(app(kind, **fields), VALUES, with_secrets=with_secrets, with_release=with_release)


@pytest.mark.parametrize("kind", ENGINES)
def test_the_same_app_gives_the_same_files(kind: str) -> None:
    assert exported(kind) == exported(kind)


@pytest.mark.parametrize("kind", ENGINES)
def test_no_file_has_a_value_unless_it_is_asked_for(kind: str) -> None:
    assert not [name for name, text in exported(kind).items() if "secret-word" in text]
    secret = [name for name, text in exported(kind, with_secrets=True).items() if name.startswith("secret")]
    assert len(secret) == 1
    assert f"shop-env-{VALUES.digest}" in exported(kind)["README.md"] + exported(kind).get("secret.yaml", "")


def test_a_secret_is_made_so_that_a_deploy_can_remove_it() -> None:
    """By its labels, when its key was rotated."""
    command = exported("swarm")["README.md"].partition("docker secret create ")[2].splitlines()[0]
    assert f"--label slot-machine.app=shop --label slot-machine.env={VALUES.digest} shop-env-" in command


def test_a_stack_file_has_what_a_deploy_applies() -> None:
    files = exported("swarm")
    assert sorted(files) == ["README.md", "stack.yml"]
    stack = yaml.safe_load(files["stack.yml"])
    assert sorted(stack["services"]) == ["mail", "web"]
    assert stack["services"]["web"]["image"] == f"r.example.com/team/shop:{COMMIT}"


def test_manifests_have_what_a_deploy_applies() -> None:
    files = exported("kubernetes")
    assert sorted(files) == ["README.md", "app.yaml", "secret.yaml"]
    kinds = [item["kind"] for item in yaml.safe_load_all(files["app.yaml"])]
    assert kinds == ["Service", "Deployment", "Ingress", "PodDisruptionBudget", "Deployment"]
    (secret,) = yaml.safe_load_all(files["secret.yaml"])
    assert "data" not in secret


def test_the_job_of_a_release_is_written_only_if_it_is_asked_for() -> None:
    """A tool that applies all files again would run it again."""
    (job,) = yaml.safe_load_all(exported("kubernetes", with_release=True)["release-job.yaml"])
    assert (job["kind"], job["spec"]["backoffLimit"]) == ("Job", 0)


@pytest.mark.parametrize("kind", ENGINES)
def test_the_readme_has_the_order_of_a_deploy(kind: str) -> None:
    text = exported(kind)["README.md"]
    places = [text.index(word) for word in ("The image", "The variables", "The release command", "The update")]
    assert places == sorted(places)


@pytest.mark.parametrize("kind", ENGINES)
def test_the_readme_leaves_out_what_the_app_has_not(kind: str) -> None:
    text = exported(kind, release_command="")["README.md"]
    assert "release command" not in text
