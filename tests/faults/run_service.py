"""`encryption-service serve` with a fault point. Run as `python -m tests.faults.run_service`."""

import signal
import threading

from encryption_service.logs import configure_logs
from encryption_service.settings import ServiceSettings, load
from encryption_service.wiring import build
from tests.faults.fault_point import FaultPoint


def main() -> None:
    asked_to_stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: asked_to_stop.set())
    settings = load(ServiceSettings)
    configure_logs(settings.log_level)
    service = build(settings, on_step=FaultPoint("service"))
    try:
        service.start()
        asked_to_stop.wait()
    finally:
        service.stop()


if __name__ == "__main__":  # the processes that seal import this module again
    main()
