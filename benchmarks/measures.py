"""How every benchmark tells what it measured: a line a measure, for people or, with `--json`, for programs."""

import json


def tell(
    name: str, ours: float, unit: str, *, peer: float | None = None, ratio: float | None = None, as_json: bool
) -> None:
    """One measure; a `ratio` above 1 means that ours is better."""
    if as_json:
        print(json.dumps({"name": name, "ours": ours, "peer": peer, "unit": unit, "ratio": ratio}))
        return
    beside = "" if peer is None or ratio is None else f", peer {peer:,.4g}, ratio {ratio:.3g}"
    print(f"{name}: ours {ours:,.4g} {unit}{beside}")
