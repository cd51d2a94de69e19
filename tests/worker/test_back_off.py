"""When to try again."""

import pytest

from worker.back_off import delay_after


def test_waits_double_up_to_a_minute() -> None:
    middle = [delay_after(n, lambda: 0.5).total_seconds() for n in range(1, 10)]
    assert middle == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert delay_after(10**9, lambda: 0.5).total_seconds() == 60


def test_waits_differ_by_a_quarter_at_most() -> None:
    assert delay_after(7, lambda: 0.0).total_seconds() == 45
    assert delay_after(7, lambda: 0.999).total_seconds() < 75
    assert len({delay_after(7) for _ in range(20)}) > 1


def test_nothing_is_waited_for_without_a_failure() -> None:
    with pytest.raises(ValueError, match="without a failure"):
        delay_after(0)
