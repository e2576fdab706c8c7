import math
import pickle

from afterbase.core.screen.stage_state import StageState


def test_time_left_counts_the_steps_of_this_pass_alone():
    stage = StageState("grpo", "running", began=100.0)
    assert stage.left(100.0) is None
    stage.take(100.0, 90, 100, {})
    assert stage.left(100.0) is None
    stage.take(110.0, 91, 100, {})
    assert stage.left(110.0) == 90.0
    assert stage.left(115.0) == 85.0  # nothing new, and time goes on
    assert stage.left(999.0) == 0.0


def test_a_smaller_step_is_another_pass():
    stage = StageState("evaluate", "running")
    for now, step in ((0.0, 1), (1000.0, 10), (1000.0, 1), (1010.0, 2)):
        stage.take(now, step, 10, {})
    assert stage.left(1010.0) == 80.0


def test_a_number_stays_until_it_is_measured_again_and_the_first_one_has_a_history():
    stage = StageState("sft", "running")
    stage.take(1.0, 1, 3, {"loss": 3.0, "held_out_loss": 4.0})
    stage.take(2.0, 2, 3, {"loss": math.nan})
    stage.take(3.0, 3, 3, {"loss": 1.0})
    assert stage.shown_numbers == ["loss 1", "held-out loss 4"]
    assert stage.history == [3.0, 1.0]
    stage.take(3.0, 3, 3, {"held_out_loss": 2.0})
    assert stage.history == [3.0, 1.0]


def test_a_number_that_is_not_known_is_not_shown_unless_it_is_the_first():
    stage = StageState("grpo", "running")
    stage.take(1.0, 1, 2, {"reward": math.nan, "solved": math.nan, "length": 20.0})
    assert stage.shown_numbers == ["reward nan", "length 20"]


def test_outcomes_are_words():
    stopped = StageState("sft", "stopped", began=1.0, at=63.0, step=3, total=9)
    assert stopped.outcome == "stopped at 3/9 after 1:02"
    assert StageState("sft", "done", began=1.0, at=63.0).outcome == "done in 1:02"
    assert StageState("sft", "cached").outcome == "cached"


def test_what_is_sent_stays_small_and_is_what_it_was():
    stage = StageState("sft", "running")
    for step in range(10_000):
        stage.take(float(step), step, 10_000, {"loss": 1.0})
    sent = stage.sent()
    assert len(pickle.dumps(sent)) < 2_000
    assert (sent.step, sent.left(9_999.0), sent.shown_numbers) == (stage.step, stage.left(9_999.0), stage.shown_numbers)
    stage.take(1e4, 1, 2, {"loss": 2.0})
    assert sent.numbers == {"loss": 1.0}
