"""A reviewer who is signed in to the app, for its tests."""

import re

from fastapi.testclient import TestClient

from afterbase.data.review.review_store import ReviewStore
from afterbase.data.review.review_tables import secret_of
from afterbase.data.review.web.access import form_word, token
from afterbase.data.review.web.review_app import create_app
from review_toys import DOMAIN

BASE = "http://localhost"


class Person:
    """A signed-in browser without scripts."""

    def __init__(self, store: ReviewStore, name: str, *, follow: bool = True) -> None:
        self.secret, self.name = secret_of(store.engine), name
        self.client = TestClient(create_app(store), BASE, follow_redirects=follow)
        self.word = form_word(self.secret, store.run, name)
        answer = self.client.post("/sign-in", data={"token": token(self.secret, store.run, name)})
        assert answer.status_code in (200, 303)

    def item(self) -> int:
        """The draft on the screen."""
        return int(re.findall(r'action="/chat/\w+/(\d+)"', self.client.get("/chat/review").text)[0])

    def send(self, path: str, **fields):
        headers = fields.pop("headers", {})
        return self.client.post(path, data={"word": self.word, **fields}, headers=headers)

    def decide(self, outcome: str, **fields):
        return self.send(f"/chat/review/{self.item()}", outcome=outcome, **fields)

    def undo(self, *, of: str = "review"):
        """The undo of the page as it is now."""
        verdict = re.findall(r'name="verdict" value="(\d+)"', self.client.get(f"/chat/{of}").text)[0]
        return self.send("/chat/undo", of=of, verdict=verdict)


def pair(store: ReviewStore) -> tuple[Person, Person]:
    """Ada and Ben, who may both settle conflicts."""
    for name in ("ada", "ben"):
        store.add_reviewer(name, adjudicates=False)
    return Person(store, "ada"), Person(store, "ben")


def votes(store: ReviewStore) -> list[tuple[str, str, str, str | None]]:
    """What stands, as (reviewer, outcome, reason, edited)."""
    decided = store.close(DOMAIN)[1]
    return [(v.reviewer, str(v.outcome), v.reason, v.edited) for item in decided for v in item.votes]
