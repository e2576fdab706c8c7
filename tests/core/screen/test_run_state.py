from afterbase.core.screen.run_state import Branch, PlannedStage, RunState
from afterbase.core.screen.stage_state import StageState


def _shape(branch: Branch) -> list:
    return [[child.path[-1], _shape(child)] if isinstance(child, Branch) else child.name for child in branch.children]


def test_stages_stand_below_their_branches_in_the_order_of_the_plan():
    planned = [
        PlannedStage("base", branch=("seed 0", "begin")),
        PlannedStage("SFT", branch=("seed 0",)),
        PlannedStage("late problems", branch=("seed 0", "begin")),
        PlannedStage("base [1]", branch=("seed 1", "begin")),
        PlannedStage("base", branch=("seed 1",)),  # again: its first place counts
    ]
    run = RunState("toy", planned=planned)
    run.see(StageState("not planned", "running"))
    assert _shape(run.tree()) == [
        ["seed 0", [["begin", ["base", "late problems"]], "SFT"]],
        ["seed 1", [["begin", ["base [1]"]]]],
        "not planned",
    ]


def test_a_stage_that_ran_is_not_called_cached_where_the_program_comes_to_it():
    run = RunState("toy", planned=[PlannedStage("SFT"), PlannedStage("GRPO", cached=True)])
    run.see(StageState("SFT", "done"))
    run.see(StageState("SFT", "cached"))
    assert [stage.state for stage in run.stages.values()] == ["done", "cached"]
    run.see(StageState("GRPO", "running"))
    run.stop(5.0)
    assert run.stages["GRPO"].outcome == "stopped after 0:05"


def _plan(*stages: tuple[str, str, float], measured: bool = False, beside: bool = False) -> list[PlannedStage]:
    return [PlannedStage(name, kind, (), seconds, measured, False, beside) for name, kind, seconds in stages]


def test_nothing_is_guessed_before_anything_is_known():
    run = RunState("toy", planned=_plan(("a", "sft", 10.0), ("b", "sft", 10.0)))
    assert run.left(0.0) is None
    assert RunState("toy", planned=_plan(("a", "sft", 10.0), measured=True)).left(0.0) == 10.0
    assert RunState("toy").left(0.0) == 0.0


def test_what_took_longer_than_planned_corrects_its_kind_and_stands_in_for_others():
    run = RunState("toy", planned=_plan(("a", "sft", 10.0), ("b", "sft", 10.0), ("c", "grpo", 100.0)))
    run.see(StageState("a", "done", began=0.0, at=30.0))
    assert run.left(30.0) == 3 * 10.0 + 3 * 100.0
    running = StageState("c", "running", began=30.0, at=30.0)
    running.take(30.0, 0, 10, {})
    running.take(35.0, 1, 10, {})
    run.see(running)
    assert run.left(35.0) == 3 * 10.0 + 45.0


def test_a_running_stage_of_which_nothing_is_known_has_begun():
    run = RunState("toy", planned=_plan(("a", "sft", 10.0), measured=True))
    run.see(StageState("a", "running", began=0.0))
    assert run.left(4.0) == 6.0
    assert run.left(99.0) == 0.0


def test_stages_beside_one_another_share_their_time_but_none_is_cut():
    planned = _plan(*((name, "sft", 10.0) for name in "abcd"), measured=True, beside=True)
    assert RunState("toy", planned=planned, processes=2).left(0.0) == 20.0
    long = [*planned, *_plan(("long", "grpo", 90.0), measured=True, beside=True)]
    assert RunState("toy", planned=long, processes=2).left(0.0) == 90.0
