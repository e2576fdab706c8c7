import sys

import pytest

from afterbase.core.errors import UserError
from afterbase.data.spread import Workers, spread
from pieces import refused, squares

PIECES = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5]
PLAIN = [squares(n).to_pylist() for n in PIECES]


@pytest.mark.parametrize("workers", [Workers(), Workers(processes=2)], ids=["here", "pool"])
def test_results_come_in_order(workers):
    assert [t.to_pylist() for t in spread(squares, PIECES, workers)] == PLAIN
    assert list(spread(squares, [], workers)) == []


@pytest.mark.parametrize("workers", [Workers(), Workers(processes=2)], ids=["here", "pool"])
def test_a_mistake_of_the_user_comes_out_of_a_worker_as_it_is(workers):
    with pytest.raises(UserError, match="a rule") as caught:
        list(spread(refused, [7], workers))
    assert (caught.value.got, caught.value.remedy) == ("7", "mend it")


def test_ray_gives_the_same(ray_cluster):
    found = list(spread(squares, PIECES, Workers(ray="local")))
    assert [t.to_pylist() for t in found] == PLAIN
    assert found[0].schema == squares(1).schema
    assert list(spread(squares, [], Workers(ray="local"))) == []


def test_without_ray_the_message_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match="not installed"):
        list(spread(squares, PIECES, Workers(ray="local")))
