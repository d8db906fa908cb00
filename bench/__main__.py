"""Usage: python -m bench PATH_OF_SLOT_MACHINE. Writes docs/benchmarks.md."""

import os
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path

from bench import by_path, decisions, edge, share, single
from bench.contenders import Contender, Site, contenders, missing
from bench.load import KINDS, ROUNDS, SECONDS, UPLOADS, Result, Row, measure

PAGE = Path("docs/benchmarks.md")
HOLDS_MANY = ("slot-machine", "nginx")


def main(slot_machine: str) -> None:
    if lacking := missing():
        sys.exit(f"install these first, for example with apt-get: {' '.join(lacking)}")
    lines: list[str] = []
    with contenders(slot_machine) as (found, site):
        ours = next(contender for contender in found if contender.name == "slot-machine")
        idle_mb, idle_pss_mb = single.memory_mb(site), single.pss_mb(site)
        lines += head(found)
        for kind in KINDS:
            show(f"{kind.title} ...")
            lines += ["", f"## {kind.title[0].upper()}{kind.title[1:]}", "", *table(measure(found, kind))]
        show("uploads ...")
        lines += ["", *uploads([contender for contender in found if contender.pids])]
        show("idle clients ...")
        lines += ["", *idle_table([(who, single.idle_clients(who)) for who in found if who.name in HOLDS_MANY])]
        show("switches ...")
        lines += ["", *alone(site, ours, idle_mb, idle_pss_mb)]
        show("edge ...")
        ours = ours._replace(pids=site.workers())
        lines += ["", *at_edge(edge.results(slot_machine, found[0], ours))]
    show("decisions ...")
    lines += ["", *decided(decisions.delays(slot_machine))]
    show("counting by path ...")
    lines += ["", *counting(by_path.costs())]
    show("share ...")
    lines += ["", *sharing(share.costs())]
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text("\n".join(lines) + "\n")
    print(PAGE.read_text())


def head(found: list[Contender]) -> list[str]:
    versions = ", ".join(dict.fromkeys(contender.version for contender in found if contender.version))
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    machine = f"{os.cpu_count()} cores ({cpu()}), {memory_gb:.0f} GB, Linux {platform.release()}"
    return [
        "# Benchmarks",
        "",
        f"Written by `make bench` on {datetime.now(UTC):%Y-%m-%d}: {machine}."
        f" Python {platform.python_version()}, {versions}.",
        "",
        "The app is nginx with a static reply. wrk, the app and the contender share the machine. Each figure is",
        f"the median of {ROUNDS} rounds. In a round, each contender is measured for {SECONDS} s, with 64 connections.",
        "The request is that of a browser, with about 600 bytes. CPU is the contender's CPU time for a request.",
        "The last two columns are slot-machine's figure divided by the row's figure: the median of the rounds' ratios.",
        "With `--no-proxy` the app owns its port.",
    ]


def table(rows: dict[str, Row]) -> list[str]:
    lines = [
        "| in front of the app | requests/s | p50 ms | p99 ms | CPU µs | MB | failed | CPU, ratio | req/s, ratio |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, (result, cpu_ratio, requests_ratio) in rows.items():
        cells = [
            name,
            f"{result.requests_per_s:,.0f}",
            f"{result.p50_ms:.2f}",
            f"{result.p99_ms:.2f}",
            f"{result.cpu_us:.1f}",
            f"{result.memory_mb:.0f}",
            f"{result.failed:.0f}",
            f"{cpu_ratio:.2f}" if cpu_ratio else "",
            f"{requests_ratio:.2f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def uploads(found: list[Contender]) -> list[str]:
    columns = {kind.title: measure(found, kind) for kind in UPLOADS}
    lines = [
        "## Upload of 1 MB in chunks",
        "",
        "CPU ms for each MB of data, on 4 connections. In brackets: slot-machine's figure divided by this figure.",
        "nginx does not buffer requests (`proxy_request_buffering off`), like the others.",
        "",
        f"| in front of the app | {' | '.join(f'chunks of {title}' for title in columns)} |",
        f"| --- |{' ---: |' * len(columns)}",
    ]
    for who in found:
        rows = [column[who.name] for column in columns.values()]
        cells = [f"{row.result.cpu_us / 1000:.2f} ({row.cpu_ratio or 0:.2f})" for row in rows]
        lines.append(f"| {who.name} | {' | '.join(cells)} |")
    return lines


def idle_table(rows: list[tuple[Contender, single.Idle]]) -> list[str]:
    return [
        "## Idle clients",
        "",
        "Each client got one reply, keeps its connection open, and sends nothing.",
        "",
        "| in front of the app | clients | KB each | CPU % |",
        "| --- | ---: | ---: | ---: |",
        *(f"| {who.name} | {idle.clients:,} | {idle.kb_each:.1f} | {idle.cpu_percent:.2f} |" for who, idle in rows),
    ]


def alone(site: Site, ours: Contender, idle_mb: float, idle_pss_mb: float) -> list[str]:
    moved = single.switches(site, ours)
    deploy = single.deploys(site)
    restart_ms = single.restart_ms(site)
    status_ms, python_ms = single.status_ratio(site)
    return [
        "## slot-machine alone",
        "",
        "| what | figure |",
        "| --- | ---: |",
        f"| requests failed over {moved.switches} switches under load (of {moved.switching.requests_per_s * 30:,.0f}) |"
        f" {moved.switching.failed} |",
        f"| p50 / p99 without switches | {moved.still.p50_ms:.2f} / {moved.still.p99_ms:.2f} ms |",
        f"| p50 / p99 during the switches | {moved.switching.p50_ms:.2f} / {moved.switching.p99_ms:.2f} ms |",
        f"| slowest request of a single client during the switches | {moved.slowest_ms:.1f} ms |",
        f"| a whole deploy | {deploy.total_ms:.0f} ms |",
        f"| a deploy beyond checkout, start and boot | {deploy.beyond_ms:.1f} ms |",
        f"| its stage `switch` | {deploy.switch_ms:.1f} ms |",
        f"| `status`, by `python3 -c pass` | {status_ms:.1f} / {python_ms:.1f} ms = {status_ms / python_ms:.1f} |",
        f"| from the kill of a worker to the first reply of the next worker | {restart_ms:.0f} ms |",
        f"| memory of daemon and data plane, idle | {idle_mb:.0f} MB |",
        f"| the same as PSS, beside the daemon of another app | {idle_pss_mb:.0f} MB |",
    ]


def decided(delays: list[decisions.Delay]) -> list[str]:
    return [
        "## From a decision to the visitors",
        "",
        "Time from the decision to the first reply of the other version. One client asks meanwhile, with one request",
        f"at a time. Of {decisions.ROUNDS} rounds.",
        "",
        "| decision | median ms | worst ms |",
        "| --- | ---: | ---: |",
        *(f"| {row.title} | {row.median_ms:.1f} | {row.worst_ms:.1f} |" for row in delays),
    ]


def at_edge(found: dict[str, Result]) -> list[str]:
    """Nothing if another edge runs on this machine."""
    if not found:
        return []
    return [
        "## Edge",
        "",
        "A small reply over TLS 1.3 and HTTP/1.1, keep-alive. CPU and memory are those of the edge, and of the proxy",
        "where it stands behind it. The last row is without TLS.",
        "",
        "| way | requests/s | p50 ms | p99 ms | CPU µs | MB | failed |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
        *(
            f"| {title} | {one.requests_per_s:,.0f} | {one.p50_ms:.2f} | {one.p99_ms:.2f} | {one.cpu_us:.1f} |"
            f" {one.memory_mb:.0f} | {one.failed:.0f} |"
            for title, one in found.items()
        ),
    ]


def counting(costs: list[by_path.Cost]) -> list[str]:
    return [
        "## Counting by path",
        "",
        "What `top` and `stats` cost a worker: its CPU time for a request, and that of one that counts by slot only.",
        f"The ratio is the median of the ratios of {by_path.PAIRS} pairs.",
        "",
        *pairs(costs),
    ]


def sharing(costs: list[by_path.Cost]) -> list[str]:
    return [
        "## Share",
        "",
        "What `promote --share 50%` costs a worker: its CPU time for a request, and that of one without a share.",
        f"The ratio is the median of the ratios of {by_path.PAIRS} pairs.",
        "",
        *pairs(costs),
    ]


def pairs(costs: list[by_path.Cost]) -> list[str]:
    return [
        "| requests | CPU µs | without, CPU µs | CPU, ratio |",
        "| --- | ---: | ---: | ---: |",
        *(f"| {row.title} | {row.with_us:.1f} | {row.without_us:.1f} | {row.ratio:.3f} |" for row in costs),
    ]


def cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if "model name" in line]
    return names[0] if names else platform.machine()


def show(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main(os.path.abspath(sys.argv[1]))
