import json
import math

import pytest
import torch

from afterbase.core.store import Store
from afterbase.data.corpus import Corpus, make_corpus, read_documents
from afterbase.data.domains import DOMAINS
from afterbase.eval.base_model_card import fresh_texts, measure, measure_base
from afterbase.model.attention import Segments
from afterbase.model.load import save


@pytest.fixture
def texts() -> dict[str, list[str]]:
    """More documents of one domain than are read at once, some of them a few tokens; of another a single one."""
    many = fresh_texts(23, seed=0, seen=())
    return {"arithmetic": [text[: 3 * i + 1] for i, text in enumerate(many["arithmetic"])], "chat": many["chat"][:1]}


def test_facts_have_these_names_and_ranges(toy_lm, texts):
    facts = measure(toy_lm, texts)
    assert set(facts) == {
        "held_out_loss",
        "busiest_expert_over_mean",
        "mtp_acceptance_sampled",
        "mtp_acceptance_greedy",
    }
    assert isinstance(losses := facts["held_out_loss"], dict)
    assert list(losses) == ["arithmetic", "chat"]
    # Random weights know little more than nothing: near the entropy of the uniform distribution.
    assert all(abs(loss - math.log(len(toy_lm.tokenizer))) < 1 for loss in losses.values())
    assert isinstance(loads := facts["busiest_expert_over_mean"], list)
    assert len(loads) == 3  # two MoE layers of the trunk, one of the MTP module
    assert all(1 <= load <= 8 / 2 for load in loads)  # eight experts, two for each token
    for key in ("mtp_acceptance_sampled", "mtp_acceptance_greedy"):
        assert 0 <= facts[key] <= 1  # type: ignore[operator]


@torch.inference_mode()
def test_numbers_equal_those_of_one_document_at_a_time(toy_lm, texts):
    facts = measure(toy_lm, texts)
    accepted: list[float] = []
    agreed: list[bool] = []
    for name, documents in texts.items():
        nats: list[float] = []
        for text in documents:
            ids = [toy_lm.tokenizer.bos_token_id, *toy_lm.tokenizer(text)["input_ids"]]
            alone = Segments.of([len(ids)])
            hidden = toy_lm.hidden(torch.tensor(ids), alone)
            trunk = toy_lm.logits(hidden).softmax(-1)
            draft = toy_lm.logits(toy_lm.mtp_hidden(torch.tensor(ids), hidden, alone)).softmax(-1)
            nats += [-math.log(trunk[i, ids[i + 1]]) for i in range(len(ids) - 1)]
            for i in range(len(ids) - 2):  # i drafts token i + 2, which i + 1 predicts
                accepted.append(sum(map(min, trunk[i + 1].tolist(), draft[i].tolist())))
                agreed.append(bool(trunk[i + 1].argmax() == draft[i].argmax()))
        assert facts["held_out_loss"][name] == pytest.approx(sum(nats) / len(nats), abs=1e-4)  # type: ignore[index]
    assert facts["mtp_acceptance_sampled"] == pytest.approx(sum(accepted) / len(accepted), abs=1e-4)
    assert facts["mtp_acceptance_greedy"] == pytest.approx(sum(agreed) / len(agreed), abs=1e-4)


def test_fresh_texts_are_none_that_were_seen():
    first = fresh_texts(20, seed=0, seen=())
    assert first == fresh_texts(20, seed=0, seen=()) != fresh_texts(20, seed=1, seen=())
    seen = {text for texts in first.values() for text in texts}
    other = fresh_texts(20, seed=0, seen=seen)
    assert other.keys() == DOMAINS.keys()
    for texts in other.values():
        assert len(texts) == 20
        assert not seen.intersection(texts)


def test_the_artifact_has_the_facts_of_every_model_on_text_that_is_not_in_the_corpus(toy_lm, tmp_path, monkeypatch):
    monkeypatch.setattr("afterbase.eval.base_model_card._DOCUMENTS", 2)
    store = Store(tmp_path)
    base, control = (
        store.produce(name, "toy", 1, what={"name": name}, inputs={}, make=lambda work: save(toy_lm, work.payload))
        for name in ("base", "control, balanced")
    )
    corpus = make_corpus(store, Corpus(documents={"logic": 50}, seed=10_007))  # the very stream of the fresh texts
    facts = json.loads((measure_base(store, base, [control], corpus).payload / "facts.json").read_text())
    assert list(facts) == ["base", "control, balanced"]
    expected = measure(toy_lm, fresh_texts(2, seed=10_007, seen=set(read_documents(corpus))))
    assert facts["base"] == facts["control, balanced"] == expected
    assert expected != measure(toy_lm, fresh_texts(2, seed=10_007, seen=()))
