"""`python -m benchmarks [NAME…]`: run the benchmarks; exit status 1 if a limit was missed."""

import sys

from benchmarks import end_to_end, seal_throughput, trusted_throughput
from benchmarks.report import Report

BENCHMARKS = {
    "seal": ("The encryption service over mutual TLS", seal_throughput.run),
    "trusted": (
        "The encryption service with evidence, policy and membership check",
        trusted_throughput.run,
    ),
    "end-to-end": ("A whole stack on this machine", end_to_end.run),
}


def main() -> int:
    """Run the named ones, or all."""
    report = Report()
    for name in sys.argv[1:] or BENCHMARKS:
        title, run = BENCHMARKS[name]
        report.heading(title)
        run(report)
    if report.missed:
        print(f"\n{len(report.missed)} limits missed: {'; '.join(report.missed)}")
    return 1 if report.missed else 0


if __name__ == "__main__":
    sys.exit(main())
