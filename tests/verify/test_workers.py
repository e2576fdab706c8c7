from afterbase.verify.child import Child
from afterbase.verify.workers import Workers


def test_items_are_judged_side_by_side_and_given_back_in_order() -> None:
    pool = Workers("maths", 2)
    try:

        def readable(child: Child, answer: str) -> tuple[str, bool]:
            return answer, child.ask({"kind": "gold", "answer": answer}, seconds=60)["readable"]

        answers = [str(n) for n in range(6)] + [""]
        assert pool.each(readable, answers) == [(a, bool(a)) for a in answers]
        assert pool.each(readable, ["7"]) == [("7", True)]
        assert pool.each(readable, []) == []
    finally:
        pool.close()
