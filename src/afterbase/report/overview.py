"""The first screen of a run that was evaluated: one picture, what each stage gained, and answers that changed.

The picture and the first sentence pool the domains that are compared, each problem with the same weight, as the pooled
comparisons do.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

from markupsafe import Markup

from afterbase.data.domains import OPEN
from afterbase.eval.score_answers import without_suffix
from afterbase.eval.summarise import Comparison, Evaluation
from afterbase.report.charts import Chart, difference_axis, ends, mark, points
from afterbase.report.drawing.scatter import Arrow, Mark, scatter
from afterbase.report.drawing.svg import WIDE_FOREST, Size, for_both, interval, interval_axis
from afterbase.report.headline import listed, whole_percent
from afterbase.report.summary import Example
from afterbase.report.table import TableRow, label, problems

_CONTROLS = {
    "teacher only": "the base after SFT on the teacher's responses alone, asked with the system prompt they came with",
    "original only": "the base after the same SFT with original responses in place of the experts'",
}
_BASE, _EXPERT_SFT, _EXPERT, _SFT, _GRPO = "base", "expert SFT", "expert", "SFT", "GRPO"
_MEANINGS = {
    _BASE: "the model that everything starts from",
    _EXPERT_SFT: "for each domain, the base after supervised fine-tuning (SFT) on worked answers",
    _EXPERT: "that model after reinforcement learning (GRPO) on its domain: it writes the data of what follows",
    _SFT: "the base after supervised fine-tuning on the experts' answers",
    _GRPO: "that model after reinforcement learning on all domains",
    "DPO": "the SFT model after direct preference optimisation, for comparison",
    "KTO": "the SFT model after KTO on the same preferences, for comparison",
}
_SHOWN = 3  # problems with answers before and after

Key = tuple[str, bool]  # a checkpoint, and whether it is asked with the system prompt


@dataclass(frozen=True, kw_only=True)
class Overview:
    """What stands above everything else; parts that a run does not have are empty."""

    sentence: str
    picture: Chart | None
    meanings: Sequence[tuple[str, str]]
    controls: Sequence[tuple[str, str]]
    gains: Sequence["Gain"]
    scale: Markup


@dataclass(frozen=True, kw_only=True)
class Gain:
    """What one stage gained over another model, as text and as a bar; `parts` are (domain, points) pairs."""

    a: str
    b: str
    problems: str
    difference: str
    range: str
    verdict: str
    svg: Markup
    parts: Sequence[tuple[str, str]]


def overview(evaluations: Sequence[Evaluation], comparisons: Sequence[Comparison]) -> Overview | None:
    """None where nothing is compared: a run that stopped early, or one that evaluates nothing."""
    steps = [c for c in comparisons if c["a"] not in _CONTROLS]
    if not evaluations or not steps:
        return None
    by_domain, whole = ([c for c in steps if (c["domain"] == "all") == pooled] for pooled in (False, True))
    domains = list(dict.fromkeys(c["domain"] for c in by_domain)) or _only_domain(evaluations)
    pooled = pool(evaluations, domains, decoding=steps[0]["decoding"])
    gains, scale = _gains(whole, by_domain)
    return Overview(
        sentence=_sentence(whole, pooled, *ends(evaluations)),
        picture=_picture(pooled, whole, domains, *ends(evaluations)),
        meanings=_meanings(pooled),
        controls=[(name, meaning) for name, meaning in _CONTROLS.items() if name in {c["a"] for c in comparisons}],
        gains=gains,
        scale=scale,
    )


def _only_domain(evaluations: Sequence[Evaluation]) -> list[str]:
    """Where a single domain is compared its name is not among the comparisons; open domains are never compared."""
    domains = (entry["domain"] for entry in evaluations)
    return [next(domain for domain in domains if domain == without_suffix(domain) and domain not in OPEN)]


def pool(evaluations: Sequence[Evaluation], domains: Sequence[str], *, decoding: str) -> dict[Key, Evaluation]:
    """Of each checkpoint that was evaluated on all of the domains, its numbers over all of their problems.

    The ends of the interval are those of the domains, combined as of independent numbers: the squares of their weighted
    distances from the mean add up (Zou and Donner 2008, Statistics in Medicine 27, 1693-1702).
    """
    found: dict[Key, list[Evaluation]] = {}
    for entry in evaluations:
        if entry["domain"] in domains and entry["decoding"] == decoding and entry["pass1"] is not None:
            found.setdefault((entry["checkpoint"], entry["system_prompt"]), []).append(entry)
    return {key: _pooled(entries) for key, entries in found.items() if len(entries) == len(domains)}


def _pooled(entries: Sequence[Evaluation]) -> Evaluation:
    n = sum(entry["n"] for entry in entries)

    def mean(key: str) -> float:
        return sum(entry["n"] * entry[key] for entry in entries) / n

    def distance(key: str) -> float:
        return sqrt(sum((entry["n"] / n * (entry[key] - (entry["pass1"] or 0.0))) ** 2 for entry in entries))

    pass1 = mean("pass1")
    low, high = max(0.0, pass1 - distance("pass1_low")), min(1.0, pass1 + distance("pass1_high"))
    return {
        **entries[0], "domain": "all", "n": n, "pass1": pass1, "pass1_low": low, "pass1_high": high,
        "mean_tokens": mean("mean_tokens"),
    }  # fmt: skip


def _sentence(whole: Sequence[Comparison], pooled: Mapping[Key, Evaluation], base: str, final: str) -> str:
    """What became of the base, with the interval of the difference if the two are compared."""
    before, after = pooled.get((base, False)), pooled.get((final, False))
    if before is None or after is None:
        return ""
    difference = next((c for c in whole if (c["a"], c["b"]) == (base, final)), None)
    told = (
        f"Of {problems(after['n'])} that no stage was trained on, the final model ({final}) answers "
        f"{whole_percent(after['pass1'] or 0.0)} right, the base {whole_percent(before['pass1'] or 0.0)}"
    )
    return f"{told}." if difference is None else f"{told}: {_with_interval(difference)}."


def _with_interval(c: Comparison) -> str:
    interval = f"95% interval {points(c['low'])} to {points(c['high'])}"
    return f"{points(c['difference'])} points ({interval}; {_verdict(c)})"


def _verdict(c: Comparison) -> str:
    if c["low"] > 0:
        return "a gain"
    return "a loss" if c["high"] < 0 else "no clear change"


def _picture(
    pooled: Mapping[Key, Evaluation], whole: Sequence[Comparison], domains: Sequence[str], base: str, final: str
) -> Chart | None:
    """Accuracy against answer length; arrows lead from a model to the one that was trained from it."""
    drawn: dict[Key, Mark] = {}
    for key, entry in pooled.items():
        row = TableRow(checkpoint=key[0], domain="all", system_prompt=key[1], greedy=entry, sampled=None)
        if key[0] not in _CONTROLS and (at := mark(row, entry, base=base, final=final)) is not None:
            drawn[key] = at
    if len(drawn) < 2:
        return None
    places = {key: index for index, key in enumerate(drawn)}
    stages = [((c["a"], c["system_prompt_a"]), (c["b"], c["system_prompt_b"])) for c in whole]
    direct = [(a, b) for a, b in stages if not any((a, c) in stages and (c, b) in stages for c in places)]
    arrows = [Arrow(places[a], places[b]) for a, b in direct if a in places and b in places]
    distilled = (_EXPERT, False), (_SFT, False)
    if all(key in places for key in distilled):
        arrows.append(Arrow(*(places[key] for key in distilled), dotted=True))
    asked = problems(next(iter(pooled.values()))["n"])

    def draw(size: Size) -> Markup:
        return scatter(
            list(drawn.values()),
            arrows,
            title=f"Share of answers judged right against mean answer length: {_in_words(list(drawn.values()))}",
            x_label="mean answer length, tokens",
            y_label="answers judged right",
            size=size,
        )

    hollow = " Hollow: asked with a system prompt to reflect." if any(at.hollow for at in drawn.values()) else ""
    dotted = " Dotted arrow: the experts wrote what SFT learns from." if any(arrow.dotted for arrow in arrows) else ""
    note = f"{asked} of {listed(domains)}. Vertical bars: 95% intervals.{hollow}{dotted}"
    return Chart(title="Accuracy and answer length", svg=for_both(draw), note=note)


def _in_words(marks: Sequence[Mark]) -> str:
    """The points for those who cannot see them."""
    return "; ".join(f"{at.label} {whole_percent(at.y)}, {at.x:.0f} tokens" for at in marks)


def _meanings(pooled: Mapping[Key, Evaluation]) -> list[tuple[str, str]]:
    """What the names of a post-training are; those of a recipe's own are left to it."""
    names = list(dict.fromkeys(name for name, _ in pooled))
    if _EXPERT not in names:
        return []
    return [(name, _MEANINGS[name]) for name in names if name in _MEANINGS]


def _gains(whole: Sequence[Comparison], by_domain: Sequence[Comparison]) -> tuple[list[Gain], Markup]:
    axis = difference_axis(whole)
    gains = []
    for c in whole:
        own = [d for d in by_domain if all(d[key] == c[key] for key in ("a", "b", "system_prompt_a", "decoding"))]
        gains.append(
            Gain(
                a=label(c["a"], c["system_prompt_a"]),
                b=label(c["b"], c["system_prompt_b"]),
                problems=problems(c["n"]),
                difference=points(c["difference"]),
                range=f"{points(c['low'])} to {points(c['high'])}",
                verdict=_verdict(c),
                svg=interval(c["low"], c["difference"], c["high"], axis=axis, size=WIDE_FOREST),
                parts=[(d["domain"], points(d["difference"])) for d in own],
            )
        )
    return gains, interval_axis(axis, WIDE_FOREST)


def turned_examples(examples: Sequence[Example]) -> list[Example]:
    """Base beside final on up to three problems whose verdict changed; one that turned wrong among them, if any did."""
    gained, lost = ([e for e in examples if _statuses(e) == wanted] for wanted in (("wrong", "ok"), ("ok", "wrong")))
    by_domain = list({example["domain"]: example for example in reversed(gained)}.values())[::-1]
    first = [*by_domain, *(example for example in gained if example not in by_domain)]
    chosen = [*first[: _SHOWN - 1], *lost[:1], *first[_SHOWN - 1 :]][:_SHOWN]
    return [{**example, "answers": [example["answers"][0], example["answers"][-1]]} for example in chosen]


def _statuses(example: Example) -> tuple[str, str]:
    answers = example["answers"]
    return answers[0]["status"], answers[-1]["status"]
