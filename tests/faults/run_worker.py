"""`groupseal worker` with a fault point. Run as `python -m tests.faults.run_worker`."""

from tests.faults.fault_point import FaultPoint
from worker import cli, jobs, logs
from worker.settings import WorkerSettings, read_settings
from worker.wiring import make_wiring


def main() -> None:
    settings = read_settings(WorkerSettings)
    logs.configure(settings.log_level)
    wiring = make_wiring(settings)
    wiring.on_step = FaultPoint("worker")
    jobs.install(wiring)
    try:
        cli._work(settings.redis_url)
    finally:
        jobs.install(None)
        wiring.close()


if __name__ == "__main__":
    main()
