"""What tells of the running service: metrics, `status`, and warnings about certificates."""

from collections.abc import Callable
from typing import Any

from encryption_service.certificate_watch import CertificateWatch
from encryption_service.ledger_store import Clock
from encryption_service.live_status import LiveStatus
from encryption_service.membership.checker import MembershipChecker
from encryption_service.metrics import Metrics, MetricsServer
from encryption_service.metrics_collectors import (
    CertificateCollector,
    MembershipCollector,
    SettingsCollector,
    StoreCollector,
)
from encryption_service.policy.policy_file import PolicyFile
from encryption_service.server_identity import CertificateSource
from encryption_service.settings import ServiceSettings
from encryption_service.store import Store


class Monitoring:
    """`start` it once everything that it tells of is there; before that it has nothing to say."""

    def __init__(self, settings: ServiceSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._live: LiveStatus | None = None
        self._stops: list[Callable[[], None]] = []
        # Counts from the first entry on.
        self.metrics = Metrics()
        # Set where membership is checked.
        self.checker: MembershipChecker | None = None

    def live_status(self) -> dict[str, Any]:
        """For `encryption-service status`."""
        return self._live.facts() if self._live else {}

    def start(self, *, store: Store, certificates: CertificateSource, policy: PolicyFile) -> None:
        """Certificates are looked at whether or not anybody connects. Raises SettingsError."""
        trust, metrics, checker = self._settings.trust, self.metrics, self.checker
        self._live = LiveStatus(
            trust=trust,
            certificates=certificates,
            policy=policy,
            membership=lambda: checker.status if checker else None,
            clock=self._clock,
        )
        watch = CertificateWatch(certificates, self._clock)
        watch.start()
        self._stops.append(watch.stop)
        if not self._settings.metrics_listen:
            return
        metrics.add(StoreCollector(store, lambda: policy.current.freeze))
        metrics.add(CertificateCollector(certificates))
        metrics.add(SettingsCollector(trust, lambda: policy.fault))
        if checker is not None:
            metrics.add(MembershipCollector(checker))
        server = MetricsServer(self._settings.metrics_listen, metrics)
        server.start()
        self._stops.append(server.stop)

    def stop(self) -> None:
        while self._stops:
            self._stops.pop()()
