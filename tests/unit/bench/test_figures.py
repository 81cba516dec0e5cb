"""The benchmarks' arithmetic: what a median, a ratio and an extrapolation say."""

from __future__ import annotations

import pytest

from tests.bench import figures
from tests.bench.figures import Line, Series


def test_one_bad_moment_does_not_move_the_figure() -> None:
    series = Series("s", (1.0, 1.2, 60.0))
    assert series.median == 1.2
    assert str(series) == "1.20 s (1.00-60.0)"


def test_a_series_in_json_keeps_every_value_in_its_order() -> None:
    told = Series("ms", (3.0, 1.0)).as_json()
    assert told == {"unit": "ms", "n": 2, "min": 1.0, "median": 2.0, "max": 3.0, "values": [3.0, 1.0]}


def test_a_hundred_calls_on_a_growing_configuration_cost_more_than_a_hundred_first_ones() -> None:
    assert Line(base=0.5, slope=0.01).total(first=10, count=100) == pytest.approx(100 * 0.5 + 0.01 * (1000 + 4950))


def test_the_line_goes_through_what_was_measured_at_both_sizes() -> None:
    fitted = figures.line([(10, 1.0), (10, 1.2), (110, 3.0), (110, 3.2)])
    assert fitted.base + 10 * fitted.slope == pytest.approx(1.1)
    assert fitted.base + 110 * fitted.slope == pytest.approx(3.1)


def test_calls_at_one_size_are_taken_to_cost_the_same_everywhere() -> None:
    assert figures.line([(10, 1.0), (10, 3.0), (10, 1.5)]) == Line(1.5, 0.0)


def test_a_ratio_is_seen_from_ours() -> None:
    assert figures.ratio(other=10.0, ours=4.0) == 2.5
    assert figures.told(2.5) == "2.5x"
    assert figures.told(figures.ratio(other=1.0, ours=4.0)) == "0.25x"
    assert figures.told(123.4) == "123x"


def test_there_is_no_ratio_to_nothing() -> None:
    assert figures.told(figures.ratio(other=1.0, ours=0.0)) == "-"
