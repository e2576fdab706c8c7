"""Maths answers judged a second, ours against math-verify alone, on the same 20,000 answers.

    PYTHONPATH=src python benchmarks/verify.py [--json] [--answers 20000] [--peer-answers 1000]

The right answers are of the kinds that MATH and its like have, in about their shares: whole numbers, fractions,
decimals, roots and multiples of pi, points and lists, formulas. For each problem there are eight responses, as RL
samples them: some right in the same or another spelling, some wrong. Both judge what stands in the last box.
math-verify alone takes minutes for all of them, so that it is timed on every n-th (`--peer-answers`), which is what its
speed a second is computed from; on those the verdicts are compared, and each that differs is printed.
"""

import argparse
import random
import time

from measures import tell

from afterbase.core.sample import Status
from afterbase.sandbox import ForkServer, fork_pool
from afterbase.verify.extract import last_boxed
from afterbase.verify.maths import WORK, Item, check_maths_many

SAMPLES = 8
SHARES = {"whole": 52, "fraction": 14, "decimal": 5, "root": 7, "pi": 4, "point": 6, "list": 4, "formula": 8}


def problems(rng: random.Random) -> tuple[str, list[str]]:
    """A right answer, and responses: the same, another spelling, near misses."""
    kind = rng.choices(
        ("whole", "fraction", "decimal", "root", "pi", "point", "list", "formula"), (52, 14, 5, 7, 4, 6, 4, 8)
    )[0]
    a, b, c = rng.randint(1, 400), rng.randint(2, 60), rng.randint(2, 30)
    match kind:
        case "whole":
            return str(a), [str(a), f"{a}.0", f"{a}\\text{{ units}}", f"x = {a}", str(a + b), str(-a), f"{a}\\pi"]
        case "fraction":
            gold = f"\\frac{{{a}}}{{{b}}}"
            return gold, [gold, f"{a}/{b}", f"\\dfrac{{{a}}}{{{b}}}", f"\\frac{{{b}}}{{{a}}}", f"-{gold}", str(a)]
        case "decimal":
            gold = f"{a}.{b}"
            return gold, [gold, f"{gold}0", f"{a}.{b + 1}", str(a), f"\\${gold}"]
        case "root":
            gold = f"{b}\\sqrt{{{c}}}"
            return gold, [
                gold,
                f"\\sqrt{{{c}}} \\cdot {b}",
                f"\\sqrt{{{b * b * c}}}",
                f"{b}\\sqrt{{{c + 1}}}",
                str(b * c),
            ]
        case "pi":
            return f"{b}\\pi", [f"{b}\\pi", f"\\pi \\cdot {b}", f"{b + 1}\\pi", str(b)]
        case "point":
            gold = f"({a}, -{b})"
            return gold, [gold, f"\\left({a},-{b}\\right)", f"(-{b}, {a})", f"({a}, {b})"]
        case "list":
            return f"{a}, {a + b}", [f"{a}, {a + b}", f"{a + b},{a}", f"{a}, {a + b + 1}", str(a)]
        case _:
            gold = f"{b}x^2 + {c}x - {a}"
            return gold, [gold, f"{c}x + {b}x^2 - {a}", f"{b}x^2 + {c}x + {a}", f"x({b}x + {c}) - {a}"]


def answers(count: int) -> list[tuple[str, str]]:
    """Pairs of a right answer and a response."""
    rng = random.Random(0)
    out: list[tuple[str, str]] = []
    while len(out) < count:
        gold, spellings = problems(rng)
        out += [
            (gold, f"Some steps, and so the answer is $\\boxed{{{rng.choice(spellings)}}}$.") for _ in range(SAMPLES)
        ]
    return out[:count]


def by_math_verify(gold: str, box: str) -> bool:
    """math-verify as its README has it."""
    from math_verify import parse, verify

    return verify(parse(f"${gold}$"), parse(f"${box}$"))


def _started(server: ForkServer, _: int) -> None:
    with server.serving():
        pass


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--answers", type=int, default=20_000)
    parser.add_argument("--peer-answers", type=int, default=1_000)
    arguments = parser.parse_args()
    pairs = answers(arguments.answers)
    step = max(1, len(pairs) // arguments.peer_answers)
    fork_pool(WORK).each(_started, range(2))
    by_math_verify("1", "2")

    halves = [range(0, len(pairs) // 2), range(len(pairs) // 2, len(pairs))]  # the two take turns
    ours: list[bool] = []
    peer: dict[int, bool] = {}
    our_seconds = peer_seconds = 0.0
    for half in halves:
        started = time.perf_counter()
        items = [Item(pairs[i][1], pairs[i][0], evaluated=False) for i in half]
        ours += [verdict.status is Status.OK for verdict in check_maths_many(items)]
        our_seconds += time.perf_counter() - started
        started = time.perf_counter()
        peer |= {i: by_math_verify(pairs[i][0], last_boxed(pairs[i][1]) or "") for i in half if i % step == 0}
        peer_seconds += time.perf_counter() - started
    differ = [i for i, verdict in peer.items() if verdict != ours[i]]
    for i in differ:
        print(f"differ: {pairs[i][0]} | {last_boxed(pairs[i][1])}: ours {ours[i]}")
    speed, peer_speed = len(pairs) / our_seconds, len(peer) / peer_seconds
    tell("maths_vs_math_verify", speed, "answers/s", peer=peer_speed, ratio=speed / peer_speed, as_json=arguments.json)
    same = 1 - len(differ) / len(peer)
    tell("maths_same_verdicts", same, "share", peer=1.0, ratio=same, as_json=arguments.json)


if __name__ == "__main__":
    main()
