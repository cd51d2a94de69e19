"""`encryption-service serve` that ends itself with SIGKILL at its n-th step (KILL_AT_STEP)."""

import os
import signal
import threading

from encryption_service.settings import ServiceSettings, load
from encryption_service.wiring import build


def main() -> None:
    left = int(os.environ["KILL_AT_STEP"])
    lock = threading.Lock()

    def on_step(step: str) -> None:
        nonlocal left
        with lock:
            left -= 1
            if left == 0:
                os.write(2, f"killed at: {step}\n".encode())
                os.kill(os.getpid(), signal.SIGKILL)

    service = build(load(ServiceSettings), on_step=on_step)
    service.start()
    threading.Event().wait()


if __name__ == "__main__":  # the processes that seal import this module again
    main()
