"""The rate of calls that INFO reports."""

from __future__ import annotations

from server.clients.rate import CallRate


def test_the_first_report_has_the_rate_since_the_start() -> None:
    assert CallRate(now=100.0).report(50, now=105.0) == 10


def test_a_report_has_the_rate_since_the_previous_one() -> None:
    rate = CallRate(now=100.0)
    rate.report(50, now=105.0)
    assert rate.report(250, now=107.0) == 100
    assert rate.report(250, now=108.0) == 0


def test_reports_that_follow_each_other_fast_use_the_same_earlier_sample() -> None:
    rate = CallRate(now=100.0)
    rate.report(0, now=101.0)
    rate.report(100, now=102.0)
    assert rate.report(101, now=102.0625) == round(101 / 1.0625)
    assert rate.report(102, now=102.09375) == round(102 / 1.09375)


def test_a_number_that_was_reset_is_no_negative_rate() -> None:
    rate = CallRate(now=100.0)
    rate.report(1000, now=101.0)
    assert rate.report(5, now=102.0) == 0
