"""A process hears SIGTERM and SIGINT, in whichever thread they arrive."""

import signal
import subprocess
import sys
import time

import pytest

# The main thread never takes the signal: what a thread of a library may do by chance.
_PROGRAM = """
import signal, sys, threading
from groupseal.stop_signals import StopSignals
stop = StopSignals()
if sys.argv[1] == "another":
    threading.Thread(target=threading.Event().wait, daemon=True).start()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
print("waiting", flush=True)
print(stop.wait(float(sys.argv[2])), flush=True)
"""


@pytest.mark.parametrize("thread", ["main", "another"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_wait(thread: str, number: signal.Signals) -> None:
    command = [sys.executable, "-c", _PROGRAM, thread, "30"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "waiting\n"
        begin = time.monotonic()
        process.send_signal(number)
        assert process.stdout.readline() == "True\n"
        assert time.monotonic() - begin < 20


def test_other_signals_and_the_end_of_the_time_do_not_count() -> None:
    program = """
import signal, sys
from groupseal.stop_signals import StopSignals
signal.signal(signal.SIGALRM, lambda *_: None)
stop = StopSignals()
signal.setitimer(signal.ITIMER_REAL, 0.05)
print(stop.wait(0.3))
"""
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30
    )
    assert result.stdout == "False\n"


def test_signals_that_a_library_takes_are_heard_all_the_same() -> None:
    program = """
import os, signal
from groupseal.stop_signals import StopSignals
stop = StopSignals()
signal.signal(signal.SIGTERM, lambda *_: None)
os.kill(os.getpid(), signal.SIGTERM)
stop.install()
print(stop.wait(0))
"""
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30
    )
    assert result.stdout == "True\n"
