import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterbase.eval.summarise import Comparison, Evaluation
from afterbase.report.ending import learnt, places
from afterbase.report.summary import Summary


def _entry(checkpoint: str, domain: str, pass1: float | None, n: int = 50, **changed: object) -> Evaluation:
    interval = {"pass1_low": None, "pass1_high": None} if pass1 is None else {"pass1_low": 0.25, "pass1_high": 0.75}
    numbers = dict.fromkeys(("maj8", "mean_tokens", "truncated_share", "format_share"))
    known = {"checkpoint": checkpoint, "domain": domain, "decoding": "sampled", "system_prompt": False, "n": n}
    return Evaluation(**{**numbers, **known, "failed": 0, "pass1": pass1, **interval, **changed})  # type: ignore[typeddict-item]


def _pair(a: str, b: str, difference: float, **changed: object) -> Comparison:
    known = {"a": a, "b": b, "domain": "all", "decoding": "sampled", "system_prompt_a": False, "system_prompt_b": False}
    numbers = {"n": 75, "difference": difference, "low": difference - 0.05, "high": difference + 0.05, "p": 0.5}
    return Comparison(**{**known, **numbers, **changed})  # type: ignore[typeddict-item]


EVALUATIONS = [
    *(_entry("base", domain, share, n) for domain, share, n in (("logic", 0.1, 50), ("code", 0.4, 25))),
    _entry("base", "chat", 0.5, 8),
    _entry("expert SFT", "logic", 0.9, system_prompt=True),
    *(_entry("SFT", domain, 0.3, n) for domain, n in (("logic", 50), ("code", 25))),
    _entry("SFT", "chat", 0.5, 8),
    *(_entry("GRPO", domain, 0.2, n) for domain, n in (("logic", 50), ("code", 25))),
    _entry("GRPO", "chat", None, 0),
]
COMPARISONS = [
    _pair("expert SFT", "expert", 0.4),
    _pair("base", "SFT", 0.1),
    _pair("SFT", "GRPO", -0.1),
    _pair("base", "GRPO", 0.0),
    _pair("SFT", "DPO", 0.7, domain="logic"),
]


def test_the_way_of_a_recipe_is_pooled_and_each_step_has_its_interval():
    assert learnt(EVALUATIONS, COMPARISONS, ["logic", "code"]) == [
        "learnt: of 75 held-out problems base solves 20.0%, SFT 30.0% (+10.0 points, 95% interval +5.0 to +15.0), "
        "GRPO 20.0% (−10.0, −15.0 to −5.0)",
        "chat, 8 held-out problems: base 50.0% [25.0–75.0], SFT 50.0% [25.0–75.0]",
    ]


def test_variants_are_each_compared_with_the_start():
    evaluations = [_entry(name, "logic", share) for name, share in (("SFT", 0.1), ("grpo", 0.2), ("dapo", 0.3))]
    [line] = learnt(evaluations, [_pair("SFT", "grpo", 0.1), _pair("SFT", "dapo", 0.2)], ["logic"])
    assert line.endswith(
        "grpo 20.0% (+10.0 points, 95% interval +5.0 to +15.0), dapo 30.0% (+20.0 against SFT, +15.0 to +25.0)"
    )


def test_where_nothing_is_compared_nothing_is_claimed():
    assert learnt([], [], []) == []
    assert learnt(EVALUATIONS[:2], [], ["logic", "code"]) == []


def test_a_whole_summary_has_one_line_of_all_reasoning_domains(summary: Summary):
    domains = {entry["domain"] for entry in summary["evaluations"]} - {"chat"}
    lines = learnt(summary["evaluations"], summary["comparisons"], domains)
    assert [line.split(":")[0].split(",")[0] for line in lines] == ["learnt", "chat"]
    assert lines[0].count("held-out problems") == 1


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from("abcd")), max_size=6))
def test_any_comparisons_end(pairs: list[tuple[str, str]]):
    evaluations = [_entry(name, "logic", 0.5) for name in "abcd"]
    lines = learnt(evaluations, [_pair(a, b, 0.1) for a, b in pairs], ["logic"])
    assert len(lines) <= 1


@pytest.mark.parametrize(
    ("file", "content", "use"),
    [
        ("config.json", {"architectures": ["LlamaForCausalLM"]}, "talk to it: afterbase chat 'my run'"),
        (
            "config.json",
            {"architectures": ["LlamaForSequenceClassification"]},
            "score with it: afterbase score reward 'my run' FILE",
        ),
        ("adapter_config.json", {"task_type": "CAUSAL_LM"}, "use it: {}/README.md says how peft loads it on its base"),
    ],
    ids=["language model", "reward model", "adapter"],
)
def test_places_and_what_can_be_done_with_the_model(tmp_path: Path, file: str, content: dict, use: str):
    (tmp_path / file).write_text(json.dumps(content))
    lines = places(tmp_path, Path("runs/my run/report.html"), name="my run")
    assert lines == [f"model: {tmp_path}", "report: runs/my run/report.html", use.format(tmp_path)]
