"""A folder is served while it judges, an endpoint is taken as it is."""

from afterbase.eval.judged.served_judge import served_judge
from afterbase.rollout.chat_model import ChatRequest
from chatting import chatting


def test_a_folder_answers_with_log_probabilities_and_is_gone_afterwards(toy_folder, tmp_path) -> None:
    request = ChatRequest(
        messages=[{"role": "user", "content": "m or M?"}], temperature=1.0, max_tokens=1, top_logprobs=5, seed=0
    )
    with served_judge(str(toy_folder)) as judge:
        assert judge.name == toy_folder.name
        (answer,) = judge.open(tmp_path / "cache").complete([request])
        assert answer.logps is not None
        assert len(answer.logps[0].top) == 5
    (kept,) = judge.open(tmp_path / "cache").complete([request])
    assert kept == answer


def test_an_endpoint_is_named_as_it_names_itself() -> None:
    with chatting("judge", lambda _: "x") as server, served_judge(server.url) as judge:
        assert judge.name == "judge"
