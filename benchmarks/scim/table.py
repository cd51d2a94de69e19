"""The table of all figures, and the limits that ours are held against."""

from benchmarks.report import Report
from benchmarks.scim.measured import Times, add_to, read_of, remove_from, replace_of
from benchmarks.scim.servers import Server

_WIDTH = 22


def print_table(times: Times, servers: list[Server]) -> None:
    """p50 and p99 of every request on every server, in milliseconds."""
    print("\n  p50 / p99 in ms of one client")
    print(f"  {'':<40}" + "".join(f"{server.name:>{_WIDTH}}" for server in servers))
    print(f"  {'':<40}" + "".join(f"{'(' + server.keeps + ')':>{_WIDTH}}" for server in servers))
    for request in times.by_request:
        cells = (
            f"{times.p50(request, server.name):.2f} / {times.p99(request, server.name):.2f}"
            for server in servers
        )
        print(f"  {request:<40}" + "".join(f"{cell:>{_WIDTH}}" for cell in cells))


def judge(report: Report, times: Times, servers: list[Server], sizes: tuple[int, ...]) -> None:
    """Every limit; the report remembers those that are missed."""
    ours, peers = servers[0].name, [server.name for server in servers[1:]]
    durable = [server.name for server in servers[1:] if server.uses_a_database]
    small, large = min(sizes), max(sizes)

    for request_of, verb in ((add_to, "add"), (remove_from, "remove")):
        flat = times.p50(request_of(large), ours) / times.p50(request_of(small), ours)
        what = f"{verb} 1 member of {large:,}, against ours of {small:,}"
        report.ratio(what, flat, at_most=1.3)

    def faster(request: str, others: list[str], at_least: float) -> None:
        best = times.best(request, others)
        value = times.p50(request, best) / times.p50(request, ours)
        report.ratio(f"{request}: faster than {best}", value, at_least=at_least)

    faster(add_to(large), peers, 50)
    faster(remove_from(large), peers, 50)
    faster(read_of(large), peers, 3)
    faster(replace_of(large), peers, 5)
    faster("POST /Users", durable, 1)
    faster("GET /Users?filter=userName eq", durable, 1)
