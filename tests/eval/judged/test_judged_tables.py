"""What a reader sees: scores beside the report's rows, and dashes where there is no number."""

from io import StringIO

from rich.console import Console

from afterbase.eval.judged.judged_run import published
from afterbase.eval.judged.judged_tables import show
from hostile import NAME, ON_ONE_LINE


def test_scores_stand_beside_the_reports_rows_and_calibration() -> None:
    measure = {"value": 0.25, "low": 0.1, "high": 0.4, "n": 12}
    keys = ("consistency", "length_bias", "self_preference", "no_verdict", "agreement_with_people")
    found = {
        "arena-hard": {"mine": {"score": 61.5, "ci_low": 50.0, "ci_high": 70.0}, "mute": {"score": None}},
        "alpaca-eval": {"mine": {"win_rate": 40.0, "standard_error": 3.0, "n_total": 9}},
        "calibration": {"position_bias": measure, **dict.fromkeys(keys)},
        "by_task": {"mine": {"code": measure}},
    }
    page = StringIO()
    show({"judges": {"judge": found}, "published": published()}, Console(file=page, width=120))
    lines = page.getvalue().splitlines()
    assert any("mine" in line and "61.5 (50.0 to 70.0)" in line and "40.0 ± 3.0" in line for line in lines)
    assert any("mute" in line and "61" not in line for line in lines)
    assert any("DeepSeek-V3 (report)" in line and "85.5" in line and "70.0" in line for line in lines)
    assert any("position bias" in line and "0.250" in line and "0.100 to 0.400" in line for line in lines)
    assert any("code" in line and "25.0" in line for line in lines)


def test_names_from_data_are_shown_as_they_are_written() -> None:
    measure = {"value": 0.25, "low": 0.1, "high": 0.4, "n": 12}
    keys = ("position_bias", "consistency", "length_bias", "self_preference", "no_verdict", "agreement_with_people")
    found = {
        "arena-hard": {NAME: {"score": 61.5, "ci_low": 50.0, "ci_high": 70.0}},
        "reward-bench": {NAME: {"sections": dict.fromkeys(("Chat", "Chat Hard", "Safety", "Reasoning")), "average": 1}},
        "calibration": dict.fromkeys(keys),
        "by_task": {NAME: {NAME: measure}},
    }
    page = StringIO()
    show({"judges": {NAME: found}, "published": published()}, Console(file=page, width=300))
    assert page.getvalue().count(ON_ONE_LINE) == 7
