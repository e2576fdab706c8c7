"""Published scores of the DROP metric, and what is said of a file that disagrees."""

from afterbase.verify.cases.drop_cases import agreement


def test_published_scores_are_met(afterbase_data):
    result = agreement(afterbase_data / "capability/drop_metric_cases.jsonl")
    assert result["n"] == result["agree"] == 20


def test_disagreement_is_shown_with_what_was_computed(tmp_path):
    file = tmp_path / "cases.jsonl"
    file.write_text('{"prediction": "a", "gold": ["b"], "em": 1, "f1": 100}\n')
    result = agreement(file)
    assert (result["n"], result["agree"]) == (1, 0)
    assert result["disagreements"][0]["computed"] == {"em": 0.0, "f1": 0.0}
