from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from afterbase.core.screen.run_state import PlannedStage, RunState
from afterbase.core.screen.stage_state import StageState
from afterbase.core.screen.tree_layout import last_lines, screen_lines, shortened, stage_lines
from hostile import NAME, ON_ONE_LINE

EXPERTS = ("arithmetic", "code", "logic")
BEGIN = "base model and problems"
NAMES = {
    (BEGIN,): ["base model", *(f"{name} problems" for name in EXPERTS)],
    **{
        (f"{name} expert",): [
            f"{name} drafts",
            f"{name} expert, SFT",
            f"{name} expert, GRPO",
            f"evaluate expert SFT + prompt on {name}",
        ]
        for name in EXPERTS
    },
    ("fine-tuning",): ["SFT set", "SFT"],
}


def _run(*, title: str = "quickstart") -> RunState:
    planned = [PlannedStage(name, "any", branch, 10.0) for branch, names in NAMES.items() for name in names]
    run = RunState(title, "cpu, 1 thread, 2 processes", planned, processes=2)
    for name in NAMES[BEGIN,]:
        run.see(StageState(name, "done", began=0.0, at=2.0, numbers={"rows": 500}))
    return run


def _running(name: str, *, step: int = 19, total: int = 36) -> StageState:
    stage = StageState(name, "running", began=0.0)
    for at in range(step + 1):
        stage.take(2.0 * at, at, total, {"reward": at / 40, "solved": 0.48, "length": 143.2, "kl": 0.00123})
    return stage


def _two_experts() -> RunState:
    run = _run()
    run.see(_running("arithmetic expert, GRPO"))
    run.see(_running("code expert, SFT", step=19, total=432))
    return run


def _text(lines) -> list[str]:
    return [line.plain for line in lines]


def test_two_experts_at_80_columns():
    assert _text(screen_lines(_two_experts(), width=80, height=14, now=38.0)) == [
        "quickstart  4 of 18 stages done  0:38  about 46 min left",
        "cpu, 1 thread, 2 processes",
        "base model and problems               done in 0:08  4 stages",
        "arithmetic expert                     0 of 4 stages done",
        "  GRPO                                ━━━━━━──────  19/36  0:34 left",
        "    reward 0.475 ▁▂▃▃▄▅▆▆▇█  solved 0.48  length 143  kl 0.00123",
        "code expert                           0 of 4 stages done",
        "  SFT                                 ━───────────  19/432  13:46 left",
        "    reward 0.475 ▁▂▃▃▄▅▆▆▇█  solved 0.48  length 143  kl 0.00123",
        "logic expert                          waiting  4 stages",
        "fine-tuning                           waiting  2 stages",
    ]


def test_while_nothing_runs_the_head_says_why():
    assert screen_lines(_run(), width=99, height=14, now=38.0)[0].plain.endswith("left  starting the next stage")
    head = screen_lines(_run(), width=80, height=14, now=38.0)[0].plain
    assert head == "quickstart  4 of 18 stages done  0:38  less than a minute left"


def test_a_wide_and_high_terminal_shows_everything():
    lines = _text(screen_lines(_two_experts(), width=170, height=60, now=38.0))
    assert len(lines) == 1 + 5 + 18
    assert lines[0].endswith("cpu, 1 thread, 2 processes")
    [row] = [line for line in lines if "19/36" in line]
    assert "0:34 left  reward 0.475" in row


def test_a_low_terminal_keeps_what_runs():
    lines = _text(screen_lines(_two_experts(), width=80, height=5, now=38.0))
    assert [line.split()[0] for line in lines] == ["quickstart", "arithmetic", "reward", "code", "reward"]


def test_many_seeds_become_lines_of_several():
    planned = [
        PlannedStage(f"{name} [seed {seed}]", branch=(f"seed {seed}", *branch))
        for seed in range(9)
        for branch, names in NAMES.items()
        for name in names
    ]
    run = RunState("study", planned=planned)
    for stage in planned[:40]:
        run.see(StageState(stage.name, "done"))
    run.see(StageState(planned[40].name, "running"))
    assert _text(screen_lines(run, width=80, height=12, now=5.0))[1:] == [
        "2 parts done",
        "seed 2                                4 of 18 stages done",
        "  base model and problems             done in 0:00  4 stages",
        "  arithmetic expert                   0 of 4 stages done",
        "    arithmetic drafts                 running 0:05",
        "  3 parts waiting",
        "6 parts waiting",
    ]


def test_what_stays_is_a_line_for_each_branch_and_what_was_stopped():
    run = _run()
    run.see(_running("arithmetic expert, GRPO"))
    run.stop(38.0)
    assert _text(last_lines(run, width=80, now=40.0)) == [
        "quickstart  4 of 18 stages done in 0:40",
        "base model and problems               done in 0:08  4 stages",
        "arithmetic expert                     0 of 4 stages done",
        "  GRPO                                stopped at 19/36 after 0:38  reward 0.475",
        "code expert                           waiting  4 stages",
        "logic expert                          waiting  4 stages",
        "fine-tuning                           waiting  2 stages",
    ]


def test_what_stays_of_a_single_training_are_its_stages():
    run = RunState("tuned", planned=[PlannedStage("base model", cached=True), PlannedStage("SFT")])
    run.see(StageState("SFT", "done", began=0.0, at=61.0, numbers={"loss": 0.5}))
    assert _text(last_lines(run, width=80, now=62.0)) == [
        "tuned  2 of 2 stages done in 1:02",
        "base model  cached",
        "SFT         done in 1:01  loss 0.5",
    ]


def test_names_do_not_steer_the_terminal():
    run = _run(title=NAME)
    run.see(StageState(NAME, "running"))
    text = "".join(_text(screen_lines(run, width=200, height=99, now=1.0)))
    assert text.count(ON_ONE_LINE) == 2
    assert "\x1b" not in text
    assert ON_ONE_LINE in _text(stage_lines(StageState(NAME, "done"), width=200, now=1.0))[0]


ANY_NAME = st.text(st.characters(codec="utf-8"), max_size=90)


@given(
    width=st.integers(40, 200),
    height=st.integers(1, 60),
    title=ANY_NAME,
    stages=st.lists(
        st.tuples(
            ANY_NAME,
            st.lists(ANY_NAME.filter(bool), max_size=3),
            st.sampled_from(["waiting", "running", "done", "cached", "stopped"]),
            st.integers(0, 10**9),
            st.dictionaries(ANY_NAME, st.floats() | ANY_NAME, max_size=5),
        ),
        max_size=12,
    ),
)
def test_no_line_is_longer_than_the_terminal_and_there_are_no_more_than_it_has(width, height, title, stages):
    run = RunState(title, title, [PlannedStage(name, branch=tuple(branch)) for name, branch, *_ in stages])
    for name, _, state, step, numbers in stages:
        stage = StageState(name, state, numbers=numbers, history=[1.0, 2.0, 3.0])
        stage.take(1.0, step, 10**9, {})
        run.see(stage)
    lines = screen_lines(run, width=width, height=height, now=5.0)
    assert len(lines) <= height
    for line in [*lines, *last_lines(run, width=width, now=5.0)]:
        assert cell_len(line.plain) <= width
        assert not set("\n\r\x1b") & set(line.plain)


@given(name=ANY_NAME, step=st.integers(1, 99_999), numbers=st.dictionaries(ANY_NAME, st.floats(), max_size=5))
def test_step_and_time_left_are_there_at_80_columns(name, step, numbers):
    stage = StageState(name, "running", numbers=numbers)
    stage.take(0.0, 0, 99_999, {})
    stage.take(10.0, step, 99_999, {})
    first = stage_lines(stage, width=80, now=10.0)[0].plain
    assert f"  {step}/99999  " in first
    assert f"{first}  ".rpartition("/99999  ")[2].split("  ")[0].endswith(" left")


@given(st.text(max_size=60), st.integers(0, 60))
def test_a_shortened_name_fits(text, width):
    short = shortened(text, width)
    assert cell_len(short) <= width
    if cell_len(text) <= width:
        assert short == text


def test_a_shortened_name_keeps_both_ends():
    assert shortened("evaluate expert SFT + prompt on arithmetic", 21) == "evaluate e…arithmetic"
