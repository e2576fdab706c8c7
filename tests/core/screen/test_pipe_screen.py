from io import StringIO

from afterbase.core.screen.pipe_screen import PipeScreen
from afterbase.core.screen.run_state import PlannedStage, RunState
from afterbase.core.screen.stage_state import StageState
from hostile import NAME, ON_ONE_LINE, SHOWN


def test_a_running_stage_has_a_line_a_minute_and_one_at_its_end():
    pipe = StringIO()
    screen, stage = PipeScreen(pipe), StageState("sft", "running")
    for step in range(1, 101):
        stage.take(float(step), step, 100, {"loss": 1 / step})
        screen.see(stage, float(step))
        screen.tick(float(step))
    stage.state = "done"
    screen.see(stage, 100.0)
    assert pipe.getvalue().splitlines() == ["sft: 60/100, 0:40 left, loss 0.0167", "sft: done in 1:40, loss 0.01"]


def test_stages_beside_one_another_have_their_own_minutes():
    pipe = StringIO()
    screen, stages = PipeScreen(pipe), [StageState(name, "running") for name in "ab"]
    for second in range(1, 130):
        for stage in stages:
            stage.take(float(second), second, 200, {})
            screen.see(stage, float(second))
    assert [line.split(":")[0] for line in pipe.getvalue().splitlines()] == ["a", "b", "a", "b"]


def test_the_minute_says_what_the_run_will_still_take():
    pipe = StringIO()
    screen = PipeScreen(pipe)
    screen.open(RunState("toy", planned=[PlannedStage("a", "sft", (), 10.0), PlannedStage("b", "sft", (), 10.0)]), 0.0)
    stage = StageState("a", "running")
    for second in (0, 60):
        stage.take(float(second), second, 120, {})
        screen.see(stage, float(second))
    screen.close(60.0)
    assert pipe.getvalue() == "a: 60/120, 1:00 left, about 3 min left in all\n"


def test_names_numbers_and_lines_do_not_steer_the_terminal():
    pipe = StringIO()
    screen = PipeScreen(pipe)
    screen.see(StageState(NAME, "cached", note=NAME), 0.0)
    screen.say(NAME, 0.0)
    assert pipe.getvalue() == f"{ON_ONE_LINE}: cached, {ON_ONE_LINE}\n{SHOWN}\n"
