"""A hundred thousand users, pushed into the gateway and paged through."""

import statistics
import time
from concurrent.futures import ThreadPoolExecutor

from benchmarks.report import Report
from benchmarks.scim.client import Client, user_body
from benchmarks.scim.memory import peak_mib
from benchmarks.scim.population import user_name
from benchmarks.scim.servers import Running, Server

_CLIENTS = 4
_PAGE = 100
_REPEATS = 20
# A page holds a hundred users: what the process needs must not depend on how many there are.
_MORE_MEMORY_MIB = 32


def run(report: Report, running: Running, users: int) -> None:
    """In a tenant of its own; what the others are measured with stays as it is."""
    server = running.ours
    token = running.token_of_new_tenant("large")
    server = Server(server.name, server.keeps, server.port, server.root, token, server.pid)
    before = peak_mib(server.pid)
    report.add("the gateway's peak memory before", f"{before:.0f} MiB")
    begin = time.perf_counter()
    with ThreadPoolExecutor(_CLIENTS) as pool:
        list(pool.map(lambda share: _import(server, share, users), range(_CLIENTS)))
    seconds = time.perf_counter() - begin
    report.add(
        f"{users:,} users by {_CLIENTS} clients", f"{seconds:.0f} s, {users / seconds:.0f}/s"
    )
    client = server.client()
    _by_index(report, client, users)
    _by_cursor(report, client, users)
    client.close()
    report.limit(
        "memory that the gateway's process needed more",
        peak_mib(server.pid) - before,
        "MiB",
        at_most=_MORE_MEMORY_MIB,
    )


def _import(server: Server, share: int, users: int) -> None:
    client = server.client()
    for number in range(share, users, _CLIENTS):
        client.expect({201}, "POST", "/Users", user_body(user_name(number)))
    client.close()


def _by_index(report: Report, client: Client, users: int) -> None:
    for what, start in (("first", 1), ("last", users - _PAGE + 1)):
        times = []
        for _ in range(_REPEATS):
            query = {"startIndex": str(start), "count": str(_PAGE)}
            answered = client.expect({200}, "GET", "/Users", query=query)
            times.append(answered.seconds)
            page = answered.json()
            client.demand(page["totalResults"] == users, "totalResults is wrong")
            client.demand(len(page["Resources"]) == _PAGE, "the page is not full")
        report.add(f"{what} page by index, p50", f"{statistics.median(times) * 1000:.1f} ms")


def _by_cursor(report: Report, client: Client, users: int) -> None:
    """From page to page (RFC 9865); every user exactly once."""
    seen: set[str] = set()
    times, cursors, cursor = [], [], ""
    while True:
        cursors.append(cursor)
        answered = client.expect({200}, "GET", "/Users", query=_page_of(cursor))
        times.append(answered.seconds)
        page = answered.json()
        seen.update(user["id"] for user in page["Resources"])
        if not page.get("nextCursor"):
            break
        cursor = page["nextCursor"]
    client.demand(len(seen) == users, f"{len(seen)} of {users} users were on the pages")
    report.add(f"all {users:,} by cursor, {len(times):,} pages", f"{sum(times):.1f} s")
    first, last = (_again(client, one) for one in (cursors[0], cursors[-1]))
    report.add("first and last page by cursor, p50", f"{first:.1f} ms, {last:.1f} ms")
    report.ratio("last page by cursor against the first", last / first, at_most=1.5)


def _again(client: Client, cursor: str) -> float:
    query = _page_of(cursor)
    times = [client.expect({200}, "GET", "/Users", query=query).seconds for _ in range(_REPEATS)]
    return statistics.median(times) * 1000


def _page_of(cursor: str) -> dict[str, str]:
    return {"cursor": cursor, "count": str(_PAGE)}
