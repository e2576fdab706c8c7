"""Who is evaluated: a folder, or what an endpoint says of itself."""

import pytest
from fastapi import FastAPI

from afterbase.core.errors import UserError
from afterbase.core.store import folder_digest
from afterbase.eval.benchmarks.subject import find_subject
from loopback import served


def _listing(*models: dict) -> FastAPI:
    app = FastAPI()

    @app.get("/v1/models")
    def listed() -> dict:
        return {"data": list(models)}

    return app


def test_a_folder_is_known_by_its_content(toy_folder):
    subject = find_subject(str(toy_folder))
    assert subject.digest == folder_digest(toy_folder)
    assert (subject.context, subject.plain, subject.url) == (512, False, None)
    assert subject.label == f"toy-model-{folder_digest(toy_folder)[:12]}"


def test_a_folder_without_a_template_is_plain(toy_folder):
    (toy_folder / "chat_template.jinja").unlink()
    assert find_subject(str(toy_folder)).plain


@pytest.mark.parametrize("path", ["", "/", "/v1", "/v1/", "/v1#toy"])
def test_the_only_model_of_an_endpoint_is_meant(path):
    with served(_listing({"id": "toy", "max_model_len": 7, "digest": "0123456789abcdef"})) as url:
        subject = find_subject(url + path)
    assert (subject.name, subject.context, subject.url) == ("toy", 7, f"{url}/v1")
    assert subject.label == f"toy-{url.removeprefix('http://').replace(':', '_')}-0123456789ab"


def test_of_several_models_one_is_named():
    with served(_listing({"id": "a"}, {"id": "b"})) as url:
        with pytest.raises(UserError, match="with a, b"):
            find_subject(url)
        assert find_subject(f"{url}#b").name == "b"


def test_an_endpoint_that_is_not_there():
    with pytest.raises(UserError, match="tells of its models") as raised:
        find_subject("http://127.0.0.1:9")
    assert "afterbase serve" in raised.value.remedy
