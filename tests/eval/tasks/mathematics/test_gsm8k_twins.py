"""Word problems with other names and numbers: right where there are some, and none where a rule is not sure."""

import random
import re

import pytest

from afterbase.eval.tasks.benchmark_rows import Folder
from afterbase.eval.tasks.mathematics import gsm8k
from afterbase.eval.tasks.mathematics.gsm8k_twins import other_names, other_number

QUESTION = "Anna has 12 apples and gives 5 to Tom. He eats two. How many are left in all?"
SOLUTION = "She has 12-5=<<12-5=7>>7 left and he has 5-2=<<5-2=3>>3.\n#### 7"


def test_names_change_within_their_list_and_throughout():
    changed = other_names("Anna and Tom met. Anna's dog saw Annabel.", random.Random(0))
    assert changed is not None
    found = re.fullmatch(r"(\w+) and (\w+) met\. (\w+)'s dog saw Annabel\.", changed)
    assert found is not None
    assert found.group(1) == found.group(3) not in ("Anna", "Tom")
    assert found.group(2) not in ("Anna", "Tom", found.group(1))


def test_no_name_no_twin():
    assert other_names("A farmer has 3 cows in May.", random.Random(0)) is None


def test_the_answer_follows_from_the_new_number():
    question = "Anna buys 12 boxes with 8 eggs each and breaks 6 eggs. How many are whole?"
    solution = "12*8=<<12*8=96>>96\n96-6=<<96-6=90>>90\n#### 90"
    seen = set()
    for seed in range(30):
        twin = other_number(question, solution, random.Random(seed))
        assert twin is not None
        boxes, eggs, broken = map(int, re.findall(r"\d+", twin.question))
        assert int(twin.answer) == boxes * eggs - broken != 90
        assert broken < eggs < boxes
        seen.add(twin)
    assert len(seen) > 3


@pytest.mark.parametrize(
    ("question", "solution"),
    [
        ("Has 12 and 5.", "#### 7"),  # no steps
        ("Has 12 and 5.", "<<12-5=8>>\n#### 8"),  # a step that does not come out
        ("Has 12 and 5.", "<<12-5=7>>\n#### 8"),  # another answer
        ("Has 12, 7 and 5.", "<<12-5=7>>\n<<7+7=14>>\n#### 14"),  # is 7 the result or the number?
        ("Has 12 and 12.", "<<12+12=24>>\n#### 24"),  # which 12?
        ("Has 4 and four.", "<<4+1=5>>\n#### 5"),  # also in letters
        ("Has 50% of 8.", "<<50/100*8=4>>\n<<4+0=4>>\n#### 4"),  # two steps with one result
        ("Has x.", "<<x+1=2>>\n#### 2"),  # no arithmetic
        ("Has 12 and 5.", "<<12**5=248832>>\n#### 248832"),
    ],
)
def test_where_the_rule_is_not_sure_there_is_no_twin(question, solution):
    assert all(other_number(question, solution, random.Random(seed)) is None for seed in range(10))


def test_published_problems_have_twins_with_the_steps_of_their_solution(afterbase_data):
    items = gsm8k.items(Folder(afterbase_data / "capability"))
    for rule, least in (("names", 0.6), ("numbers", 0.3)):
        twins = [(item, gsm8k.TASK.twins[rule](item, random.Random(item.id))) for item in items]
        made = [(item, twin) for item, twin in twins if twin is not None]
        assert len(made) > least * len(items), rule
        assert all(twin.prompt != item.prompt and twin.id == item.id for item, twin in made)
        assert all((twin.gold == item.gold) == (rule == "names") for item, twin in made)
