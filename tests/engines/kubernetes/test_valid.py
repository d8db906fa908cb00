"""Each shape of app is valid by the schemas of each version of Kubernetes that the validator ships."""

from collections.abc import Iterator
from functools import cache

import kubernetes_validate
import pytest
from kubernetes_validate import utils

from slot_machine.engines.kubernetes import jobs, manifests, storage
from slot_machine.engines.kubernetes.pod import Json
from tests.kubernetes_shapes import SHAPES, VALUES, shape

VERSIONS = sorted({utils.major_minor(version) for version in utils.all_versions()})
NATIVE_SLEEP = (1, 30)
OF_OTHERS = ("HTTPRoute",)
"""The Gateway API is not a part of Kubernetes."""


@pytest.fixture(autouse=True)
def _read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(utils, "schema_contents", _read)


_read = cache(utils.schema_contents)


def everything(name: str, version: str) -> Iterator[Json]:
    app = shape(name)
    native = tuple(map(int, version.split("."))) >= NATIVE_SLEEP
    yield from manifests.objects(app, native_sleep=native)
    yield from (jobs.release(app), jobs.by_hand(app, "shop-run-1"), storage.secret(app, VALUES))


@pytest.mark.parametrize("version", VERSIONS)
def test_each_shape_is_valid(version: str) -> None:
    for name in SHAPES:
        for item in everything(name, version):
            if item["kind"] not in OF_OTHERS:
                kubernetes_validate.validate(item, version, strict=True)


def test_validator_knows_what_is_wrong() -> None:
    (deployment,) = (item for item in everything("plain", "1.30") if item["kind"] == "Deployment")

    with pytest.raises(kubernetes_validate.ValidationError, match="sleep"):
        kubernetes_validate.validate(deployment, "1.28", strict=True)
