"""Which model families work: each named one through loading, packing, decoding, saving and every training stage.

    python benchmarks/families.py [--only NAME] [--json]

The models are tiny and random, those of `tests/families_tried.py`; `tests/family_matrix.py` says what each check asks
for; refused kinds stand below with their sentence. `--only` takes a part of a family's name. Exit status 1 if a named
family fails a check, or a refused kind is not refused.
"""

import argparse
import json
import multiprocessing
import os
import sys
import tempfile
import warnings
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import torch

from afterbase.core.errors import UserError
from families_tried import FAMILIES, REFUSED
from family_matrix import CHECKS, Case, quiet, refusal


def verdicts(name: str) -> dict[str, str]:
    """What came of each check: ok and what there is to say of it, the rule that refused, or the failure."""
    torch.set_num_threads(1)
    out: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as temporary, quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        case = Case(FAMILIES[name], Path(temporary))
        for check, run in CHECKS.items():
            try:
                said = run(case)
                out[check] = "ok" if said is None else f"ok: {said}"
            except UserError as error:
                out[check] = f"refused: {error.rule}"
            except Exception as error:
                out[check] = f"failed: {type(error).__name__}: {' '.join(str(error).split())[:200]}"
    return out


def refused(name: str) -> str:
    """What is said of another kind; empty where nothing is."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary, quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return refusal(REFUSED[name], Path(temporary) / "model")


def table(found: dict[str, dict[str, str]]) -> str:
    """Markdown; a check that is ok everywhere, and says nothing beside, is as short as it can be."""
    lines = [f"| family | {' | '.join(CHECKS)} |", "|---" * (len(CHECKS) + 1) + "|"]
    for family, row in found.items():
        cells = (row[name].removeprefix("ok: ") for name in CHECKS)
        lines.append(f"| {family} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="part of a family's name")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    wanted = arguments.only.lower()
    named = [name for name in FAMILIES if wanted in name.lower()]
    others = [name for name in REFUSED if wanted in name.lower()]
    with ProcessPoolExecutor(os.cpu_count(), mp_context=multiprocessing.get_context("spawn")) as pool:
        found = dict(zip(named, pool.map(verdicts, named), strict=True))
        sentences = dict(zip(others, pool.map(refused, others), strict=True))
    if arguments.json:
        print(json.dumps({"families": found, "refused": sentences}, indent=2))
    else:
        if found:
            print(table(found))
        if sentences:
            print("\n| refused | what is said |\n|---|---|")
            print("\n".join(f"| {name} | {said or 'NOT REFUSED'} |" for name, said in sentences.items()))
    right = all(cell.startswith("ok") for row in found.values() for cell in row.values()) and all(sentences.values())
    sys.exit(0 if right else 1)


if __name__ == "__main__":
    main()
