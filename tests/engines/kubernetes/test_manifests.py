"""The objects that an app becomes."""

import json
from typing import cast

import msgspec
import pytest

from slot_machine.core.version_config import Job
from slot_machine.engines.kubernetes import jobs, manifests, names, storage
from slot_machine.engines.kubernetes.pod import Json
from slot_machine.engines.kubernetes.schedules import NotThere, of_cron_job
from slot_machine.engines.shape import App
from tests.kubernetes_shapes import COMMIT, SHAPES, VALUES, app, shape


def found(of: App, kind: str, name: str = "shop", *, native_sleep: bool = True) -> Json:
    items = manifests.objects(of, native_sleep=native_sleep)
    (item,) = (item for item in items if item["kind"] == kind and manifests.name_of(item) == name)
    return item


def at(item: object, path: str) -> object:
    """By a path of fields and positions, such as `spec.ports.0`; None if it is not there."""
    for part in path.split("."):
        if isinstance(item, list):
            item = item[int(part)] if int(part) < len(item) else None
        else:
            item = cast(Json, item).get(part) if item is not None else None
    return item


POD = "spec.template.spec"
CONTAINER = f"{POD}.containers.0"


def test_new_copies_are_ready_before_old_ones_end() -> None:
    web = found(shape("plain"), "Deployment")

    assert at(web, "spec.strategy") == {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}, "type": "RollingUpdate"}
    assert at(web, "spec.replicas") == 3
    assert at(web, f"{CONTAINER}.image") == f"registry.example.com/team/shop:{COMMIT}"


@pytest.mark.parametrize("name", ["replace", "data on one node"])
def test_version_that_must_be_alone_waits_for_the_end_of_the_other(name: str) -> None:
    web = found(shape(name), "Deployment")

    assert at(web, "spec.strategy") == {"type": "Recreate"}
    assert at(web, f"{CONTAINER}.lifecycle") is None


def test_copy_goes_on_until_everybody_knows_that_it_ends() -> None:
    """The time before SIGTERM counts for the time until SIGKILL."""
    of = app({"drain_timeout_ms": 20_000}, {"stop_delay_ms": 7_500})

    web, before = found(of, "Deployment"), found(of, "Deployment", native_sleep=False)

    assert at(web, f"{CONTAINER}.lifecycle.preStop") == {"sleep": {"seconds": 8}}
    assert at(before, f"{CONTAINER}.lifecycle.preStop") == {"exec": {"command": ["sleep", "8"]}}
    assert at(web, f"{POD}.terminationGracePeriodSeconds") == 8 + 20 + 5
    assert at(before, f"{POD}.terminationGracePeriodSeconds") == 8 + 20 + 5


def test_sleep_of_no_time_is_left_out() -> None:
    assert at(found(shape("no delay"), "Deployment"), f"{CONTAINER}.lifecycle") is None


@pytest.mark.parametrize("name", SHAPES)
def test_no_pod_gets_variables_of_services_or_rights(name: str) -> None:
    """A Service that is called like the app would set its NAME_PORT to `tcp://...`."""
    of = shape(name)
    for item in [*manifests.objects(of), jobs.release(of), jobs.by_hand(of, "shop-run-1")]:
        path = "spec.jobTemplate.spec.template.spec" if item["kind"] == "CronJob" else POD
        if not at(item, path):
            continue
        assert at(item, f"{path}.enableServiceLinks") is False
        assert at(item, f"{path}.automountServiceAccountToken") is False
        assert at(item, f"{path}.securityContext.runAsNonRoot") is True
        assert at(item, f"{path}.containers.0.securityContext.allowPrivilegeEscalation") is False


def test_health_is_asked_as_configured() -> None:
    of = app({"health_endpoint": "/up", "health_host": "shop.example.com", "health_timeout_ms": 30_500})
    web = found(of, "Deployment")

    get = at(web, f"{CONTAINER}.readinessProbe.httpGet")
    assert (at(get, "path"), at(get, "port")) == ("/up", "web")
    assert {"name": "Host", "value": "shop.example.com"} in cast(list[object], at(get, "httpHeaders"))
    asked = cast(list[str], at(web, f"{CONTAINER}.startupProbe.exec.command"))
    assert asked[-4:] == ["health", "/up", "200", "shop.example.com"]
    assert at(web, f"{CONTAINER}.startupProbe.failureThreshold") == 31
    assert at(web, f"{CONTAINER}.livenessProbe") is None
    assert at(web, "spec.progressDeadlineSeconds") == 331


def test_status_that_no_node_takes_as_healthy_is_asked_for_inside() -> None:
    web = found(shape("status of no httpGet"), "Deployment")

    assert at(web, f"{CONTAINER}.readinessProbe.httpGet") is None
    assert "401" in cast(list[str], at(web, f"{CONTAINER}.readinessProbe.exec.command"))


def test_health_port_of_its_own() -> None:
    web = found(shape("own health port"), "Deployment")

    assert at(web, f"{CONTAINER}.ports") == [
        {"containerPort": 3000, "name": "web", "protocol": "TCP"},
        {"containerPort": 3001, "name": "health", "protocol": "TCP"},
    ]
    assert at(web, f"{CONTAINER}.readinessProbe.httpGet.port") == "health"
    assert "PORT=3001" in cast(list[str], at(web, f"{CONTAINER}.startupProbe.exec.command"))


def test_image_of_the_users_own_dockerfile_has_nothing_of_ours() -> None:
    of = msgspec.structs.replace(shape("workers"), own_dockerfile=True)
    web, worker = found(of, "Deployment"), found(of, "Deployment", "shop-worker")

    assert at(web, f"{CONTAINER}.startupProbe.httpGet.path") == "/healthz"
    assert at(worker, f"{CONTAINER}.command") == ["/bin/sh", "-c", "node worker.js"]


def test_unhealthy_copy_is_started_again_if_asked_for() -> None:
    web = found(shape("restarts"), "Deployment")

    assert at(web, f"{CONTAINER}.livenessProbe.periodSeconds") == 10
    assert cast(int, at(web, f"{CONTAINER}.livenessProbe.failureThreshold")) > 2


def test_memory_is_a_limit_and_cpu_a_share() -> None:
    web = found(shape("limits"), "Deployment")

    assert at(web, f"{CONTAINER}.resources") == {
        "limits": {"memory": "300M"},
        "requests": {"cpu": "400m", "memory": "300M"},
    }


@pytest.mark.parametrize(("name", "budgets"), [("plain", 1), ("one replica", 0)])
def test_one_copy_at_a_time_may_leave_its_node(name: str, budgets: int) -> None:
    """A budget that allows none would block the drain of a node, also one for a single copy."""
    items = [item for item in manifests.objects(shape(name)) if item["kind"] == "PodDisruptionBudget"]

    assert [at(item, "spec.maxUnavailable") for item in items] == [1] * budgets
    assert [at(item, "spec.minAvailable") for item in items] == [None] * budgets


def test_workers_are_deployments_of_their_own() -> None:
    of = shape("workers")
    worker, beat = found(of, "Deployment", "shop-worker"), found(of, "Deployment", "shop-beat-one")

    assert at(worker, "spec.replicas") == 3
    assert at(worker, "spec.strategy.type") == "RollingUpdate"
    assert at(worker, f"{POD}.terminationGracePeriodSeconds") == 65
    assert at(worker, f"{CONTAINER}.command.3") == "node worker.js"
    assert {"name": "PROCESS", "value": "worker"} in cast(list[object], at(worker, f"{CONTAINER}.env"))
    assert (at(beat, "spec.strategy.type"), at(beat, "spec.replicas")) == ("Recreate", 1)
    asked = {"name": "SLOT_MACHINE_STOP_SIGNAL", "value": "QUIT"}
    assert asked in cast(list[object], at(beat, f"{CONTAINER}.env"))
    assert [manifests.begins_later(item) for item in manifests.objects(of)][:2] == [False, False]
    assert manifests.begins_later(worker)


def test_release_job_runs_once() -> None:
    """Its name is of the commit and the attempt. Neither a failure nor a lost node makes a second pod."""
    job = jobs.release(shape("release"))

    assert manifests.name_of(job) == "shop-release-01234567-7"
    assert at(job, "spec.backoffLimit") == 0
    assert at(job, f"{POD}.restartPolicy") == "Never"
    assert at(job, "spec.podFailurePolicy.rules.0.action") == "FailJob"
    assert at(job, "spec.podFailurePolicy.rules.0.onPodConditions.0.type") == "DisruptionTarget"
    assert at(job, "spec.ttlSecondsAfterFinished") is None
    assert at(job, "spec.activeDeadlineSeconds") == 900
    assert "Job" not in {item["kind"] for item in manifests.objects(shape("release"))}


def test_the_shell_alone_replaces_variables() -> None:
    words, written = "echo $$ $HOME $(id)", "echo $$$$ $$HOME $$(id)"
    cron = {"clean": {"schedule": "@daily", "command": words}}
    of = app({"release_command": words, "processes": {"mail": words}, "cron": cron, "health_endpoint": "/$(id)"})

    assert at(jobs.release(of), f"{CONTAINER}.command.3") == written
    assert at(found(of, "Deployment", "shop-mail"), f"{CONTAINER}.command.3") == written
    job = found(of, "CronJob", "shop-cron-clean")
    assert at(job, f"spec.jobTemplate.{CONTAINER}.command.3") == written
    assert at(found(of, "Deployment"), f"{CONTAINER}.startupProbe.exec.command.3") == "/$$(id)"


def test_cron_jobs_go_on_after_missed_times() -> None:
    of = shape("jobs")
    nightly = found(of, "CronJob", "shop-cron-nightly")

    assert at(nightly, "spec.concurrencyPolicy") == "Forbid"
    assert cast(int, at(nightly, "spec.startingDeadlineSeconds")) >= 200
    assert at(nightly, "spec.timeZone") == "Europe/Zurich"
    assert at(nightly, "spec.schedule") == "0 0 * * *"
    pod = "spec.jobTemplate.spec.template.spec.containers.0"
    assert at(nightly, f"{pod}.image") == of.image
    assert at(nightly, f"{pod}.envFrom.0.secretRef.name") == f"shop-env-{VALUES.digest}"


def test_cron_jobs_without_a_time_zone_are_in_utc() -> None:
    of = app({"cron": {"nightly": {"schedule": "@daily", "command": "x"}}})

    assert at(found(of, "CronJob", "shop-cron-nightly"), "spec.timeZone") == "Etc/UTC"


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("@Daily", "0 0 * * *"),
        ("*/5 * * * *", "*/5 * * * *"),
        ("0 3 * * 7", "0 3 * * 0"),
        ("0 3 * * 5-7", "0 3 * * 0,5,6"),
        ("0 3 * * MON-fri", "0 3 * * 1,2,3,4,5"),
        ("0 3 1 * */2", "0 3 1 * */2"),
        ("0 3 1,15 jan *", "0 3 1,15 jan *"),
    ],
)
def test_schedules(ours: str, theirs: str) -> None:
    assert of_cron_job(ours) == theirs


@pytest.mark.parametrize("schedule", ["0 3 L * *", "0 3 LW * *", "0 3 * * 5L", "0 3 * * MON#2"])
def test_schedules_that_kubernetes_has_not(schedule: str) -> None:
    with pytest.raises(NotThere):
        of_cron_job(schedule)


def test_data_of_one_node_keeps_all_pods_there() -> None:
    of = shape("data on one node")
    web, claim = found(of, "Deployment"), found(of, "PersistentVolumeClaim", "shop-shared")

    assert at(claim, "spec.accessModes") == ["ReadWriteOnce"]
    assert at(claim, "spec.resources.requests.storage") == "10Gi"
    assert at(claim, "spec.storageClassName") is None
    term = at(web, f"{POD}.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution.0")
    assert at(term, "labelSelector.matchLabels") == {names.APP: "shop"}
    path = at(web, f"{CONTAINER}.volumeMounts.0.mountPath")
    assert {"name": "SLOT_MACHINE_SHARED", "value": path} in cast(list[object], at(web, f"{CONTAINER}.env"))
    assert at(web, f"{POD}.securityContext.fsGroup")


def test_data_of_many_nodes() -> None:
    of = shape("data on many nodes")
    web, claim = found(of, "Deployment"), found(of, "PersistentVolumeClaim", "shop-shared")

    assert (at(claim, "spec.accessModes"), at(claim, "spec.storageClassName")) == (["ReadWriteMany"], "nfs")
    assert at(claim, "spec.resources.requests.storage") == "50Gi"
    assert at(web, f"{POD}.affinity") is None
    assert at(web, "spec.strategy.type") == "RollingUpdate"


def test_ingress() -> None:
    of = shape("ingress")
    ingress, redirect = found(of, "Ingress"), found(of, "Ingress", "shop-redirect-1")

    assert at(ingress, "metadata.annotations") == {"cert-manager.io/cluster-issuer": "letsencrypt"}
    assert at(ingress, "spec.ingressClassName") == "nginx"
    assert at(ingress, "spec.rules.1.host") == "shop.example.org"
    assert at(ingress, "spec.tls.0.secretName") == "shop-tls"
    target = cast(Json, at(redirect, "metadata.annotations"))["nginx.ingress.kubernetes.io/permanent-redirect"]
    assert target == "https://shop.example.com$request_uri"
    assert at(redirect, "spec.tls.0.secretName") == "shop-redirect-1-tls"


def test_own_certificate() -> None:
    ingress = found(shape("own certificate"), "Ingress")

    assert at(ingress, "spec.tls.0") == {"hosts": ["shop.example.com"], "secretName": "shop-tls"}
    assert at(ingress, "metadata.annotations") is None


def test_gateway() -> None:
    of = shape("gateway")
    route, redirect = found(of, "HTTPRoute"), found(of, "HTTPRoute", "shop-redirect-1")

    assert at(route, "spec.hostnames") == ["shop.example.com"]
    assert at(route, "spec.parentRefs.0.namespace") == "infra"
    assert at(route, "spec.parentRefs.0.name") == "public"
    assert at(route, "spec.rules.0.backendRefs.0.name") == "shop"
    assert at(redirect, "spec.rules.0.filters.0.requestRedirect.hostname") == "shop.example.com"
    assert not [item for item in manifests.objects(of) if item["kind"] == "Ingress"]


def test_secret_is_named_by_its_digest_and_never_changes() -> None:
    secret = storage.secret(shape("plain"), VALUES)

    assert manifests.name_of(secret) == f"shop-env-{VALUES.digest}"
    assert secret["immutable"] is True
    assert cast(Json, secret["data"])["LINES"] == "b25lCnR3bw=="
    assert "data" not in storage.secret(shape("plain"), None)


@pytest.mark.parametrize("name", SHAPES)
def test_text_is_stable_and_has_no_value(name: str) -> None:
    text = manifests.text(manifests.objects(shape(name)))

    assert text == manifests.text(manifests.objects(shape(name)))
    assert manifests.text(manifests.parsed(text)) == text
    assert json.loads(text)["kind"] == "List"
    assert "secret-word" not in text


def test_names_fit() -> None:
    """Those that would be too long end in a digest, so that two of them differ."""
    job = Job(schedule="@daily", command="x")
    of = app()
    long, other = jobs.cron(of, "a" * 40 + "b", job), jobs.cron(of, "a" * 40 + "c", job)

    assert len(manifests.name_of(long)) <= 52
    assert manifests.name_of(long) != manifests.name_of(other)
    assert names.named("shop", "a_b-") == "shop-a-b"


def test_labels_say_what_is_live() -> None:
    web = found(shape("plain"), "Deployment")
    labels = cast(Json, at(web, "spec.template.metadata.labels"))

    assert labels[names.COMMIT] == COMMIT
    assert labels[names.RELEASE] == "7"
    assert labels["app.kubernetes.io/managed-by"] == "slot-machine"
    assert at(web, "spec.selector.matchLabels") == {names.APP: "shop", names.PROCESS: "web"}
    assert at(web, "spec.template.metadata.annotations") == {names.ENV_DIGEST: VALUES.digest}
