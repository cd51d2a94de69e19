"""What is read when Prometheus asks: the store, the certificates, the policy, the membership check.

Each query of the store is answered from an index or one small table, so that a scrape costs the
same whatever the size of the groups. Collectors describe nothing beforehand: the names are theirs
alone.
"""

import sqlite3
from collections.abc import Callable, Iterator
from typing import Protocol

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from encryption_service.ledger_store import ledger_size, read_service
from encryption_service.membership.checker import MembershipStatus
from encryption_service.metrics import PREFIX
from encryption_service.server_identity import CertificateSource
from encryption_service.store import Store, snapshot
from encryption_service.version import service_version
from groupseal.trust import TrustSettings

_COUNTS = (
    ("groups", "Groups.", "SELECT count(*) FROM groups"),
    (
        "groups_with_work",
        "Groups with a step to take.",
        "SELECT count(*) FROM groups WHERE needs_work = 1",
    ),
    (
        "groups_between_epochs",
        "Groups whose epoch is closed and the next one not open yet.",
        "SELECT count(*) FROM groups WHERE epoch > 0 AND is_open = 0",
    ),
    ("bound_keys", "Keys of members that are bound.", "SELECT count(*) FROM member_keys"),
    ("waiting_keys", "Keys that wait for an approver.", "SELECT count(*) FROM offered_keys"),
)


class _Undescribed(Collector):
    """Registered without being asked first what it will say."""

    def describe(self) -> Iterator[Metric]:
        yield from ()


class StoreCollector(_Undescribed):
    """Sizes and states that the store holds."""

    def __init__(self, store: Store, frozen_by_policy: Callable[[], bool]) -> None:
        self._store = store
        self._frozen_by_policy = frozen_by_policy

    def collect(self) -> Iterator[Metric]:
        with self._store.reader() as connection, snapshot(connection):
            yield from self._ledger(connection)
            for name, text, query in _COUNTS:
                yield _gauge(name, text, connection.execute(query).fetchone()[0])
            holds = _labelled("holds", "Keys of members on a roster that are held back.", "reason")
            for reason, count in connection.execute(
                "SELECT reason, count(*) FROM holds WHERE reason IS NOT NULL GROUP BY reason"
            ):
                holds.add_metric([reason], count)
            yield holds

    def _ledger(self, connection: sqlite3.Connection) -> Iterator[Metric]:
        yield _gauge("ledger_size", "Entries of the ledger.", ledger_size(connection))
        service = read_service(connection)
        acknowledged = service.acknowledged_size if service else 0
        yield _gauge(
            "acknowledged_size", "Entries that the vendor says it has stored.", acknowledged
        )
        halted = bool(service and service.halted_reason)
        yield _gauge("halted", "1: nothing is written any more; `status` says why.", halted)
        frozen = bool(service and service.frozen) or self._frozen_by_policy()
        yield _gauge("frozen", "1: nobody is added, by command or by policy.", frozen)


class CertificateCollector(_Undescribed):
    """When the certificates in force end, and whether newer ones could not be used."""

    def __init__(self, source: CertificateSource) -> None:
        self._source = source

    def collect(self) -> Iterator[Metric]:
        presented = self._source.refresh()
        expiry = _labelled(
            "certificate_expiry_timestamp_seconds",
            "When the certificate in force ends; of several authorities, the last.",
            "which",
        )
        expiry.add_metric(["server"], presented.certificate.not_after_ms / 1000)
        expiry.add_metric(["vendor_ca"], presented.vendor_authority.not_after_ms / 1000)
        yield expiry
        fault = bool(self._source.fault)
        yield _gauge(
            "certificate_fault", "1: a certificate is not usable; the log says why.", fault
        )


class SettingsCollector(_Undescribed):
    """Which version this is and how it decides whom to trust."""

    def __init__(self, trust: TrustSettings, policy_fault: Callable[[], str]) -> None:
        self._trust = trust
        self._policy_fault = policy_fault

    def collect(self) -> Iterator[Metric]:
        build = _labelled("build_info", "Always 1.", "version")
        build.add_metric([service_version()], 1)
        yield build
        trust = _labelled(
            "trust_info", "Always 1; mode `pin` is vendor-trusted.", "mode", "membership_check"
        )
        trust.add_metric(
            [self._trust.mode.name.lower(), self._trust.membership_check.name.lower()], 1
        )
        yield trust
        fault = bool(self._policy_fault())
        yield _gauge("policy_fault", "1: the policy file is not in force; the log says why.", fault)


class _Checker(Protocol):
    @property
    def status(self) -> MembershipStatus: ...


class MembershipCollector(_Undescribed):
    """How the membership source answers, and what audits found."""

    def __init__(self, checker: _Checker) -> None:
        self._checker = checker

    def collect(self) -> Iterator[Metric]:
        status = self._checker.status
        for name, text, time_ms in (
            ("last_success", "When the membership source last answered.", status.last_success_ms),
            ("last_audit", "When the last whole audit ended.", status.last_audit_ms),
        ):
            if time_ms is not None:
                yield _gauge(f"membership_{name}_timestamp_seconds", text, time_ms / 1000)
        if status.remaining is not None:
            yield _gauge(
                "membership_limit_remaining",
                "Requests that the source's tightest rate limit has left.",
                status.remaining,
            )
        findings = _labelled(
            "membership_findings", "Members whom the last audits found wrong.", "reason"
        )
        counts: dict[str, int] = {}
        for finding in status.findings:
            counts[finding.reason] = counts.get(finding.reason, 0) + max(1, len(finding.members))
        for reason, count in sorted(counts.items()):
            findings.add_metric([reason], count)
        yield findings
        left = CounterMetricFamily(
            f"{PREFIX}membership_members_left",
            "Members whom audits found missing at the source.",
        )
        left.add_metric([], status.members_left)
        yield left
        yield _gauge("membership_waiting_groups", "Groups with an open question.", status.waiting)
        fault = bool(status.fault)
        yield _gauge("membership_fault", "1: the membership source does not answer.", fault)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(PREFIX + name, text, value=float(value))


def _labelled(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(PREFIX + name, text, labels=labels)
