import pytest

from afterbase.data.review.review_policy import Review
from review_toys import draft, review_store


@pytest.fixture
def store(tmp_path):
    """Ten drafts that two people review."""
    made = review_store(tmp_path, [draft(i, value=0.5) for i in range(10)], Review(double=1))
    for name in ("ada", "ben"):
        made.add_reviewer(name, adjudicates=False)
    yield made
    made.engine.dispose()
