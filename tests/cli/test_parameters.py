"""What several commands read of their options."""

import pytest

from afterbase.cli.parameters import columns_of
from afterbase.core.errors import UserError


def test_columns_are_named_in_pairs():
    assert columns_of("prompt=q, answer=a") == {"prompt": "q", "answer": "a"}
    assert columns_of(None) == {}
    with pytest.raises(UserError, match="which column holds what"):
        columns_of("prompt")
