"""Languages told a second, and how many rightly: ours against py3langid alone, which ours builds on, on the same texts.

    PYTHONPATH=src python benchmarks/language.py [--json] [--rounds 5]

The texts are those of tests/verify/language/languages.jsonl: sentences in 49 languages, texts that mix two, and texts
without any. py3langid gives one label whatever it is given; its share counts texts in one language only. Time is that
of the process, so that other work on the machine matters less; the two take turns.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

from measures import tell
from py3langid.langid import MODEL_FILE, LanguageIdentifier

from afterbase.verify.language.text_language import language

CASES = Path(__file__).parent.parent / "tests/verify/language/languages.jsonl"
_SAME = {"nn": "no", "bs": "hr", "yue": "zh", "wuu": "zh"}  # py3langid's finer labels


def timed(name: Callable[[str], str], texts: list[str]) -> tuple[list[str], float]:
    started = time.process_time()
    labels = [name(text) for text in texts]
    return labels, time.process_time() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    cases = [json.loads(line) for line in CASES.read_text(encoding="utf-8").splitlines()]
    texts, expected = [case["text"] for case in cases], [case["language"] for case in cases]
    model = LanguageIdentifier.from_model_file(MODEL_FILE)

    def peer(text: str) -> str:
        label = model.classify(text)[0]
        return _SAME.get(label, label)

    language("warm up")
    ours, theirs, our_seconds, their_seconds = [], [], 0.0, 0.0
    for _ in range(arguments.rounds):
        ours, seconds = timed(language, texts)
        our_seconds += seconds
        theirs, seconds = timed(peer, texts)
        their_seconds += seconds
    count = arguments.rounds * len(texts)
    speed, peer_speed = count / our_seconds, count / their_seconds
    tell("language_texts", speed, "texts/s", peer=peer_speed, ratio=speed / peer_speed, as_json=arguments.json)
    chain = " ".join(t for t, x in zip(texts, expected, strict=True) if x == "en" and "\n" not in t)
    speed, peer_speed = (len(chain) / timed(name, [chain] * 10)[1] / 100 for name in (language, peer))
    tell("language_chain", speed, "kchar/s", peer=peer_speed, ratio=speed / peer_speed, as_json=arguments.json)
    one = [i for i, x in enumerate(expected) if x not in ("mixed", "none")]
    right, peer_right = (sum(said[i] == expected[i] for i in one) / len(one) for said in (ours, theirs))
    tell("language_right", right, "share", peer=peer_right, ratio=right / peer_right, as_json=arguments.json)


if __name__ == "__main__":
    main()
