"""The child process of `maths.py`: one JSON line {"answer", "box"} in, `true`, `false` or `"error"` out."""

import json
import sys

from math_verify import parse, verify


def equal(box: str, answer: str) -> bool:
    """math-verify's word on two boxed expressions; gold first, as it is not symmetric."""
    # No time-out of its own: it would use signals; the parent kills this process at its deadline.
    gold, got = (parse(f"\\boxed{{{text}}}", parsing_timeout=None) for text in (answer, box))
    return bool(verify(gold, got, timeout_seconds=None))


def main() -> None:
    """Answer until stdin closes."""
    for line in sys.stdin:
        question = json.loads(line)
        try:
            outcome: bool | str = equal(question["box"], question["answer"])
        except Exception:  # whatever the parsers raise on untrusted text, reported as the verifier's fault
            outcome = "error"
        print(json.dumps(outcome), flush=True)


if __name__ == "__main__":
    main()
