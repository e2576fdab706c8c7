"""A preview for people: the form, the counts, why rows were left out, and one example in colours."""

import itertools
from collections import Counter
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from afterbase.core.sanitize import sanitized
from afterbase.data.own.preview_rows import Preview

TRAINED, CONTEXT, SPECIAL = "bold green", "dim", "reverse"
BRACKETS = ("⟦", "⟧")
_REASONS = 8  # that are told


def show(found: Preview, tokenizer: Any, console: Console | None = None) -> None:
    """Print what was read, and the first example: which of its tokens bear loss, and where the special ones stand."""
    console = console or Console(highlight=False, soft_wrap=True)
    told = found.as_dict()
    out = Text(f"{told['form']}: {told['rows']:,} rows, {len(told['dropped']):,} left out\n")
    reasons = Counter(row["rule"] for row in told["dropped"])
    first = {row["rule"]: row["row"] for row in reversed(told["dropped"])}
    for rule, count in reasons.most_common(_REASONS):
        out.append(sanitized(f"  {count:,} x {rule} (the first: {first[rule]})\n"))
    if len(reasons) > _REASONS:
        out.append(f"  and {len(reasons) - _REASONS} other reasons\n")
    if found.reading.unused:
        out.append(sanitized(f"not read: {', '.join(found.reading.unused)}\n"))
    console.print(out)
    plain = console.color_system is None
    for example in told["examples"][:1]:
        console.print(in_colours(tokenizer, example["ids"], example["trained"], plain=plain))
        if "rejected" in example:
            console.print("\nrejected:")
            other = example["rejected"]
            console.print(in_colours(tokenizer, other["ids"], other["trained"], plain=plain))
        if "label" in example:
            console.print(f"\nlabel: {example['label']}")
    trained = f"{BRACKETS[0]}trained{BRACKETS[1]}" if plain else "trained"
    console.print(Text.assemble("\n", (trained, TRAINED), ", ", ("context", CONTEXT), ", ", ("special", SPECIAL)))


def in_colours(tokenizer: Any, ids: Sequence[int], trained: Sequence[bool], *, plain: bool = False) -> Text:
    """The text of token ids, each coloured by whether it bears loss; special tokens stand out.

    For an output without colours, `plain` puts what bears loss into brackets.
    """
    special = set(tokenizer.all_special_ids) | set(tokenizer.added_tokens_decoder)
    shown = Text()
    marked = [(token, bears, token in special) for token, bears in zip(ids, trained, strict=True)]
    for bears, part in itertools.groupby(marked, key=lambda entry: entry[1]):
        shown.append(BRACKETS[0] if plain and bears else "")
        for mark, same in itertools.groupby(part, key=lambda entry: entry[2]):
            style = f"{TRAINED if bears else CONTEXT}{f' {SPECIAL}' if mark else ''}"
            shown.append(sanitized(tokenizer.decode([token for token, _, _ in same])), style)
        shown.append(BRACKETS[1] if plain and bears else "")
    return shown
