"""`python -m benchmarks.scim --peers FOLDER`: exit status 1 if a limit was missed."""

import argparse
import sys
from pathlib import Path

from benchmarks.report import Report
from benchmarks.scim import many_users
from benchmarks.scim.measured import measure
from benchmarks.scim.memory import peak_mib
from benchmarks.scim.population import populate
from benchmarks.scim.rows import touched_by_put
from benchmarks.scim.servers import running
from benchmarks.scim.table import judge, print_table

# More than are added to a group in one round.
_SPARE = 50


def main() -> int:
    """Populates every server, measures, judges."""
    arguments = _arguments()
    sizes = (arguments.largest // 100, arguments.largest // 10, arguments.largest)
    report = Report()
    with running(arguments.peers) as everything:
        report.heading(f"{arguments.largest + _SPARE:,} users and groups of {sizes} in each server")
        populations = []
        for server in everything.servers:
            populations.append(populate(server, arguments.largest, _SPARE, sizes))
            report.add(server.name, f"is filled, peak memory {peak_mib(server.pid):.0f} MiB")
        times = measure(populations, sizes)
        print_table(times, everything.servers)
        report.heading("Limits")
        judge(report, times, everything.servers, sizes)
        touched = touched_by_put(populations[0], everything.database_url, sizes[-1])
        report.add("membership rows touched by a PUT: one more, one less, the same", str(touched))
        report.limit("the most rows touched for one difference", max(touched), "rows", at_most=1)
        report.heading(f"{arguments.users:,} users in the gateway")
        many_users.run(report, everything, arguments.users)
    if report.missed:
        print(f"\n{len(report.missed)} limits missed: {'; '.join(report.missed)}")
    return 1 if report.missed else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scim", description=__doc__)
    parser.add_argument("--peers", type=Path, required=True, help="what peers/install.sh filled")
    parser.add_argument("--largest", type=int, default=10_000, help="members of the largest group")
    parser.add_argument("--users", type=int, default=100_000, help="users to import and page")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
