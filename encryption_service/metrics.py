"""What the service counts, and the page on which Prometheus reads it.

Nothing is registered with the library's process-wide registry. Labels are of few and known values:
kinds of entries, reason codes; never the id or the name of a person, a group or a key.
"""

from collections import Counter as Tally
from collections.abc import Iterable
from typing import Protocol

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, ProcessCollector
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from encryption_service.plain_http import Page, PlainHttpServer
from groupseal.entries import Body, EntryType, GroupReconciled
from groupseal.reasons import Reason

PREFIX = "groupseal_service_"
_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class BindingResult(Protocol):
    """What became of a key that was offered."""

    @property
    def reason(self) -> Reason | None: ...


class Metrics:
    """Counters of this process. Every method may be called from any thread."""

    def __init__(self) -> None:
        # When a series was made is of no use here and doubles the page.
        prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call] # the library's
        self.registry = CollectorRegistry()
        self.entries = self._counter("entries", "Ledger entries that were appended.", "type")
        self.seals = self._counter("seals", "Envelopes that were sealed.")
        self.epochs_opened = self._counter("epochs_opened", "Epochs that were opened.")
        self.epochs_closed = self._counter(
            "epochs_closed", "Epochs that were closed before the next one could open."
        )
        self.bind_refusals = self._counter(
            "bind_refusals",
            "Answers that a key is refused or waits, repeated offers too.",
            "reason",
        )
        self.policy_reloads = self._counter("policy_reloads", "Policies that came into force.")
        for kind in EntryType:
            self.entries.labels(type=kind.name.lower())
        ProcessCollector(registry=self.registry)

    def appended(self, bodies: Iterable[Body]) -> None:
        """Entries that are becoming durable."""
        kinds: Tally[EntryType] = Tally()
        for body in bodies:
            kinds[body.type] += 1
            if isinstance(body, GroupReconciled):
                self.seals.inc(body.grants_count)
                self.epochs_opened.inc(int(body.opens))
        self.epochs_closed.inc(kinds[EntryType.EPOCH_CLOSED])
        for kind, count in kinds.items():
            self.entries.labels(type=kind.name.lower()).inc(count)

    def answered(self, result: BindingResult) -> None:
        """An offered key was answered."""
        if result.reason is not None:
            self.bind_refusals.labels(reason=result.reason.value).inc()

    def add(self, collector: Collector) -> None:
        """Asks it, too, whenever the page is read."""
        self.registry.register(collector)

    def page(self) -> Page:
        return Page(200, generate_latest(self.registry), _CONTENT_TYPE)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(PREFIX + name, text, labels, registry=self.registry)


class MetricsServer(PlainHttpServer):
    """Plain HTTP with /metrics, on an address of its own."""

    def __init__(self, address: str, metrics: Metrics) -> None:
        """Raises SettingsError."""
        super().__init__(address, "GROUPSEAL_SERVICE_METRICS_LISTEN", {"/metrics": metrics.page})
