"""The text that Prometheus reads, as its own library understands it."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from slot_machine.core.upstream import Totals
from slot_machine.daemon.metrics import Metric, _requests
from slot_machine.traffic.dataplane import Measured


def test_any_text_may_be_a_labels_value() -> None:
    metric = Metric("counter", "checks_total", "Of the live app")
    value = 'a "quoted" back\\slash\\n,{}\nnew line'
    metric.add(3, answer=value)

    (family,) = text_string_to_metric_families("\n".join(metric.lines_of("shop")) + "\n")

    (sample,) = family.samples
    assert (family.type, family.documentation) == ("counter", "Of the live app")
    assert (sample.name, sample.labels, sample.value) == (
        "slot_machine_checks_total",
        {"app": "shop", "answer": value},
        3,
    )


@pytest.mark.parametrize("value", [0, 0.25, 1e-9, 123_456_789_012_345_678, True])
def test_value_is_a_number_in_go(value: float) -> None:
    (family,) = text_string_to_metric_families("\n".join(Metric("gauge", "a", "", value).lines_of("shop")) + "\n")

    assert family.samples[0].value == float(value)


def test_requests_are_counted_by_slot_and_status() -> None:
    totals = Totals()
    for seconds in (0.002, 0.3, 60):
        totals.observe(200, seconds, 10, 20)

    lines = [line for metric in _requests(Measured({"a": totals}, 0, 0, 0, [])) for line in metric.lines_of("shop")]

    families = {family.name: family for family in text_string_to_metric_families("\n".join(lines) + "\n")}
    latency = families["slot_machine_request_seconds"]
    assert latency.type == "histogram"
    buckets = {sample.labels["le"]: sample.value for sample in latency.samples if sample.name.endswith("_bucket")}
    assert (buckets["0.001"], buckets["0.0025"], buckets["0.5"], buckets["10"], buckets["+Inf"]) == (0, 1, 2, 2, 3)
    sums = {sample.name: sample.value for sample in latency.samples if "le" not in sample.labels}
    assert sums == {"slot_machine_request_seconds_count": 3, "slot_machine_request_seconds_sum": 60.302}
    requests = {sample.labels["status"]: sample.value for sample in families["slot_machine_requests"].samples}
    assert requests == {"none": 0, "1xx": 0, "2xx": 3, "3xx": 0, "4xx": 0, "5xx": 0}
