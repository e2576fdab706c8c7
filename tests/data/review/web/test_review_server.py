import os
import re
import signal
import subprocess
import sys

import httpx
import pytest

from afterbase.core.errors import UserError
from afterbase.data.review.review_policy import Review
from afterbase.data.review.review_stage import review_folder
from afterbase.data.review.review_store import ReviewStore
from afterbase.data.review.review_tables import sqlite_url
from afterbase.data.review.web.review_server import add_people, serve, waiting_run
from review_toys import DOMAIN, accept, draft, review_all, review_store

PROGRAM = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from afterbase.cli.main import main
main()
"""


@pytest.fixture
def root(tmp_path):
    """Below it a run, `toy`, that waits for the review of two drafts."""
    folder = review_folder(tmp_path, "toy")
    store = review_store(folder, [draft(0), draft(1)], Review(double=0), url=sqlite_url(folder / "review.sqlite"))
    store.engine.dispose()
    (folder / "review.json").write_text('{"database": null}')
    return tmp_path


def test_an_unknown_run_is_told_the_known_ones(root):
    with pytest.raises(UserError, match="name of a run that people review") as error:
        waiting_run("other", root)
    assert "use one of toy" in error.value.remedy
    with pytest.raises(UserError) as error:
        waiting_run("toy", root / "empty")
    assert "[review.DOMAIN]" in error.value.remedy


@pytest.mark.parametrize("name", ["", "..", "../toy", "toy/../toy", "/etc"])
def test_a_name_is_no_path(root, name):
    with pytest.raises(UserError, match="name of a run"):
        waiting_run(name, root / "runs" / "toy")


def test_a_run_with_shipped_reviews_has_nothing_to_review(root):
    (root / "runs" / "plain").mkdir()
    with pytest.raises(UserError) as error:
        waiting_run("plain", root)
    assert "the reviews that are shipped" in error.value.got


def test_a_run_that_has_gone_on_does_not_wait(root):
    store = waiting_run("toy", root)
    review_all(store, "ada", accept)
    assert isinstance(waiting_run("toy", root), ReviewStore), "until the run takes what people decided"
    store.close(DOMAIN)
    with pytest.raises(UserError, match="open until its run goes on") as error:
        waiting_run("toy", root)
    assert "run the recipe again" in error.value.remedy


def test_people(root, monkeypatch):
    store = waiting_run("toy", root)
    monkeypatch.setattr("getpass.getuser", lambda: "some body")
    add_people(store, [], [])
    assert store.reviewers() == {"somebody": True}
    add_people(store, ["ada"], ["cyd"])
    assert store.reviewers() == {"ada": False, "cyd": True, "somebody": False}
    add_people(store, [], [])
    assert len(store.reviewers()) == 3
    for name in ("", "a b", "<script>", "x" * 41, "a/b"):
        with pytest.raises(UserError, match="a reviewer's name"):
            add_people(store, [name], [])


def test_a_port_in_use_is_told(root):
    with pytest.raises(UserError, match="a port"):
        serve("toy", root, host="127.0.0.1", port=99_999, reviewers=["ada"], adjudicators=[])


def test_links_work_and_ctrl_c_ends_it(root):
    arguments = ["review", "toy", "--root", str(root), "--port", "0", "--reviewer", "ada", "--adjudicator", "cyd"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", PROGRAM, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as server:
        try:
            assert server.stdout is not None
            lines = [server.stdout.readline() for _ in range(6)]
            assert re.match(r"toy at http://127\.0\.0\.1:\d+ ", lines[0])
            assert "chat: 2 drafts to review" in lines[1]
            name, link = lines[4].split()
            assert name == "ada"
            url, token = link.split("/sign-in#token=")
            with httpx.Client(base_url=url, follow_redirects=True) as client:
                assert "Sign in" in client.get("/").text
                page = client.post("/sign-in", data={"token": token})
                assert "2 left" in page.text
            server.send_signal(signal.SIGINT)
            assert server.wait(30) == 0
        finally:
            server.kill()
