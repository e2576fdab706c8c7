import stat
import threading

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from afterbase.core.errors import UserError
from afterbase.data.review.recorded_decisions import Outcome
from afterbase.data.review.review_policy import Review
from afterbase.data.review.review_tables import connect, secret_of, sqlite_url, verdicts
from postgres import postgres
from review_toys import DOMAIN, accept, draft, race, review_all, review_store


@pytest.fixture(scope="module")
def server():
    with postgres() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgres"])
def url(request, tmp_path):
    """Each of the two databases, empty."""
    if request.param == "sqlite":
        return sqlite_url(tmp_path / "review.sqlite")
    server = request.getfixturevalue("server")
    engine = connect(server)
    with engine.begin() as connection:
        connection.execute(text("DROP SCHEMA public CASCADE"))
        connection.execute(text("CREATE SCHEMA public"))
    engine.dispose()
    return server


def test_secret_is_made_once(url):
    secrets, threads = [], []

    def ask() -> None:
        engine = connect(url)
        secrets.append(secret_of(engine))
        engine.dispose()

    for _ in range(4):
        threads.append(threading.Thread(target=ask))
        threads[-1].start()
    for thread in threads:
        thread.join()
    assert len(secrets) == 4
    assert len(set(secrets)) == 1
    assert len(secrets[0]) == 32


def test_a_whole_review_in_either_database(url, tmp_path):
    samples = [draft(i, response=f"nul \0 and {i}") for i in range(6)]
    store = review_store(tmp_path, samples, Review(double=0.5, min_alpha=0.1), url=url)
    review_all(store, "ada", accept)
    review_all(store, "ben", lambda item: Outcome.REJECT if "5" in item.messages[-1]["content"] else Outcome.ACCEPT)
    while (conflict := store.conflict(DOMAIN)) is not None:
        store.add_reviewer("ben", adjudicates=True)
        store.settle(conflict.id, "ben", Outcome.EDIT, reason="slip", edited="mended \0", version=conflict.version)
    progress, decided = store.close(DOMAIN)
    assert (progress.reviewed, progress.decided, progress.twice) == (6, 6, 3)
    assert sum(len(item.votes) for item in decided) >= 9
    store.engine.dispose()


def test_the_database_itself_refuses_a_verdict_twice(url, tmp_path):
    store = review_store(tmp_path, [draft(0)], Review(double=1), url=url)
    item = store.next_item(DOMAIN, "ada")
    assert item is not None
    row = {"item": item.id, "reviewer": "ada", "settles": False, "outcome": "accept", "reason": "", "seconds": 0}
    with store.engine.begin() as connection:
        connection.execute(verdicts.insert().values(**row, given=0, undone=1.0))
        connection.execute(verdicts.insert().values(**row, given=0))
    with pytest.raises(IntegrityError), store.engine.begin() as connection:
        connection.execute(verdicts.insert().values(**row, given=0))
    store.engine.dispose()


def test_people_in_a_hurry_on_either_database(url, tmp_path):
    store = review_store(tmp_path, [draft(i) for i in range(40)], Review(double=0.5), url=url)
    race(store)
    store.engine.dispose()


def test_the_file_is_for_its_owner_alone(tmp_path):
    url = sqlite_url(tmp_path / "deep" / "review.sqlite")
    review_all(review_store(tmp_path, [draft(0)], Review(), url=url), "ada", accept)
    for path in (tmp_path / "deep").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path.name


@pytest.mark.parametrize(
    "wrong",
    ["nonsense", "nodb://x/y", "postgresql+psycopg://ada:hunter2@127.0.0.1:1/none", "sqlite:////no/such/folder/x"],
)
def test_a_database_that_is_not_there_is_a_clear_mistake(wrong):
    with pytest.raises(UserError, match="reviews are kept in SQLite") as error:
        connect(wrong)
    assert "hunter2" not in str(error.value)
