import json

from afterbase.sandbox.forks.fork_client import ForkLimits, ForkServer
from afterbase.sandbox.forks.fork_pool import ForkPool
from afterbase.verify.maths import WORK

LIMITS = ForkLimits(cpu_seconds=20, wall_seconds=60.0, memory_bytes=2 << 30)


def test_items_are_judged_side_by_side_and_given_back_in_order() -> None:
    pool = ForkPool(WORK, 2)
    try:

        def readable(server: ForkServer, answer: str) -> tuple[str, bool]:
            with server.serving() as forks, forks.holding({"kind": "gold", "answer": answer}, LIMITS) as holder:
                return answer, json.loads(holder.told.report)["readable"]

        answers = [str(n) for n in range(6)] + [""]
        assert pool.each(readable, answers) == [(a, bool(a)) for a in answers]
        assert pool.each(readable, ["7"]) == [("7", True)]
        assert pool.each(readable, []) == []
    finally:
        pool.close()
