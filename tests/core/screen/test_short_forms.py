import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterbase.core.screen.short_forms import about, duration, named, sparkline, thinned


@pytest.mark.parametrize(("seconds", "shown"), [(5.2, "0:05"), (754, "12:34"), (3725, "1:02:05")])
def test_durations(seconds, shown):
    assert duration(seconds) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(5, "less than a minute"), (59.9, "less than a minute"), (125, "about 2 min"), (9000, "about 2.5 h")],
)
def test_a_guess_is_no_finer_than_it_is_known(seconds, shown):
    assert about(seconds) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.52341, "0.523"),
        (5e-6, "5e-06"),
        (12345, "12,345"),
        (1234.5, "1,234"),
        (float("nan"), "nan"),
        ("3 of 8", "3 of 8"),
    ],
)
def test_numbers_are_short(value, shown):
    assert named("zero_variance", value) == f"zero variance {shown}"


def test_units_and_held_out_numbers_have_readable_names():
    assert named("tokens_per_second", 1500.0) == "1,500 tokens/s"
    assert named("held_out_loss", 0.5) == "held-out loss 0.5"


VALUES = st.lists(st.floats(-1e6, 1e6), max_size=100)


@given(VALUES, st.integers(1, 40))
def test_thinned_values_keep_their_range(values, most):
    thin = thinned(values, most)
    assert len(thin) <= most
    assert bool(thin) == bool(values)
    slack = 1e-6 * max(map(abs, values), default=0)
    assert all(min(values) - slack <= value <= max(values) + slack for value in thin)


@given(VALUES, st.integers(3, 40))
def test_a_curve_fits_and_rises_where_the_values_do(values, width):
    curve = sparkline(sorted(values), width)
    assert len(curve) <= width
    assert list(curve) == sorted(curve)


def test_a_curve_needs_three_points_and_spans_all_heights():
    assert sparkline([1, 2], 8) == ""
    assert sparkline([2, 2, 2], 8) == "▁▁▁"
    assert sparkline(range(8), 8) == "▁▂▃▄▅▆▇█"
