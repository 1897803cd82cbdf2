"""Reports that come at most once a minute."""

from keystead.core.pacing import Pace


def test_first_at_once_then_one_a_minute() -> None:
    """The first is told at once, what follows only when the time has passed since the last that was told."""
    pace = Pace(60)
    assert [now_s for now_s in range(0, 200, 10) if pace.is_due(now_s)] == [0, 60, 120, 180]


def test_a_clock_that_is_set_back_silences_nothing() -> None:
    """After a step backwards the next report is told, not one as far ahead as the step was long."""
    pace = Pace(60)
    assert pace.is_due(1_000_000)
    assert pace.is_due(10)
    assert not pace.is_due(20)
