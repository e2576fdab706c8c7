"""The app in a real browser: two people, forty drafts, conflicts, one word in the end; and a draft that attacks.

Pictures are written to the folder AFTERBASE_PICTURES, if that is set.
"""

import dataclasses
import os
import random
from pathlib import Path

import krippendorff
import pytest

from afterbase.core.sample import conversation
from afterbase.data.review.agreement import alpha
from afterbase.data.review.recorded_decisions import Outcome
from afterbase.data.review.review_policy import Review
from afterbase.data.review.review_results import decided_samples, final_vote
from afterbase.data.review.review_store import ReviewStore
from afterbase.data.review.review_tables import secret_of
from afterbase.data.review.web.access import token
from afterbase.data.review.web.review_app import create_app
from chromium import Browser, Page, chromium
from loopback import served
from review_toys import DOMAIN, draft, review_store

COUNT = "Number(document.querySelector('.strip strong').textContent)"
TOO_SMALL = """[...document.querySelectorAll('a, button, summary, select')].filter(e => e.checkVisibility())
    .filter(e => !e.closest('.rendered') && e.getBoundingClientRect().height < 44).map(e => e.textContent).join()"""
ATTACK = """</textarea></pre><script>document.title = "owned"</script><img src=x onerror="document.title='owned'">
<svg/onload="document.title='owned'"> [click](javascript:document.title='owned') ![track](https://tracker.example/p.png)
<a hx-post="/chat/undo" hx-trigger="load">x</a> <form action="/sign-out" method="post"><button>Accept</button></form>
<iframe srcdoc="<script>parent.document.title='owned'</script>"></iframe> <style>body { display: none }</style>
$\\text{<img src=x onerror=alert(1)>}$ $\\href{javascript:alert(1)}{x}$ \u202etxet desrever"""
RICH = r"""The roots of $x^2 - 5x + 6 = 0$ are
$$x = \frac{-b \pm \sqrt{b^2 - 4ac}}{2a} = \frac{5 \pm 1}{2}$$
so \(x = 2\) or \(x = 3\). In **Python**:

```python
def roots(a, b, c):
    d = (b * b - 4 * a * c) ** 0.5  # discriminant
    return (-b - d) / (2 * a), (-b + d) / (2 * a)
```

| root | value |
|---|---|
| first | 2 |
| second | 3 |

因此答案是 2 和 3。"""


@pytest.fixture(scope="module")
def browser():
    with chromium() as made:
        yield made


@pytest.fixture
def pictures(tmp_path):
    folder = Path(os.environ.get("AFTERBASE_PICTURES", str(tmp_path)))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def signed_in(browser: Browser, url: str, store: ReviewStore, name: str, *, phone: bool = False) -> Page:
    """A browser that came by the link which `afterbase review` prints."""
    page = browser.page(width=390, height=844, phone=True) if phone else browser.page()
    page.open(f"{url}/sign-in#token={token(secret_of(store.engine), store.run, name)}")
    page.wait("document.querySelector('main.overview') !== null")
    assert page.run("location.href") == f"{url}/", "the token is nowhere to be seen"
    page.open(f"{url}/chat/review")
    return page


def counted(page: Page, number: int) -> None:
    """Wait for the draft after that many verdicts."""
    page.wait(f"document.querySelector('.strip strong') !== null && {COUNT} === {number}")


def number_of(page: Page) -> int:
    """Which toy draft is on the screen."""
    return int(page.run(r"document.querySelector('.turn.before').innerText.match(/Question (\d+)/)[1]"))


def review(page: Page, opinions: dict[int, str]) -> None:
    """Every draft by keys alone."""
    for done in range(len(opinions)):
        counted(page, done)
        match opinions[number_of(page)]:
            case "accept":
                page.press("a")
            case "reject":
                page.press("r")
                page.press("2")
            case "edit":
                page.press("e")
                page.write(" Mended.")
                page.press("Enter", ctrl=True)
    counted(page, len(opinions))


def test_two_people_forty_drafts_conflicts_and_alpha(browser, tmp_path, pictures):
    samples = [draft(i) for i in range(40)]
    samples[7] = dataclasses.replace(draft(7), messages=conversation("Question 7? Solve $x^2-5x+6=0$ in code.", RICH))
    policy = Review(double=1, min_alpha=0.3)
    store = review_store(tmp_path, samples, policy)
    for name in ("ada", "ben"):
        store.add_reviewer(name, adjudicates=False)
    rng = random.Random(3)
    words = ["accept", "accept", "reject", "edit"]
    ada = {i: rng.choice(words) for i in range(40)}
    ben = {i: ada[i] if rng.random() < 0.75 else rng.choice(words) for i in range(40)}
    conflicts = [i for i in range(40) if ada[i] != ben[i]]
    assert len(conflicts) > 4

    with served(create_app(store)) as url:
        first = signed_in(browser, url, store, "ada")
        second = signed_in(browser, url, store, "ben", phone=True)
        review(first, ada)
        assert "Nothing is left for you" in first.text()
        review(second, ben)

        # Alpha is that of the package, from the opinions themselves.
        codes = [[words.index(who[i]) for i in range(40)] for who in (ada, ben)]
        expected = krippendorff.alpha(reliability_data=codes, level_of_measurement="nominal")
        assert alpha(store.units(DOMAIN)).value == pytest.approx(expected, abs=1e-12)
        first.open(f"{url}/agreement")
        assert f"{expected:.3f}" in first.text()
        first.picture(pictures / "agreement.png")

        first.open(f"{url}/chat/conflicts")
        first.picture(pictures / "conflict.png")
        settled = {}
        for left in range(len(conflicts), 0, -1):
            counted(first, left)
            at = number_of(first)
            settled[at] = ada[at] if left % 2 else ben[at]
            first.press("1" if left % 2 else "2")
        first.wait("document.body.innerText.includes('No conflicts to settle')")
        assert sorted(settled) == conflicts
        assert "All is decided" in first.text()
        for page in (first, second):
            assert page.errors() == []
            assert {address.split("/")[2] for address in page.requested()} == {url.split("/")[2]}

    progress, decided = store.close(DOMAIN)
    assert progress.missing == ()
    ends = {item.sample: final_vote(item).outcome for item in decided}
    for i, sample in enumerate(samples):
        assert ends[sample.id] == settled.get(i, ada[i]), i
    rows = decided_samples(samples, decided, policy)
    kept = [row for row in rows if row.dropped is None]
    assert len(kept) == sum(outcome is not Outcome.REJECT for outcome in ends.values())
    assert sum(row.response.endswith(" Mended.") for row in kept) == list(ends.values()).count(Outcome.EDIT)
    store.engine.dispose()


def test_keys_sheets_undo_and_pictures(browser, tmp_path, pictures):
    prompts = [f"Question {i}? Solve $x^2-5x+6=0$, in code too." for i in range(4)]
    samples = [dataclasses.replace(draft(i), messages=conversation(prompts[i], RICH)) for i in range(4)]
    store = review_store(tmp_path, samples, Review(double=0))
    store.add_reviewer("ada", adjudicates=False)
    with served(create_app(store)) as url:
        page = signed_in(browser, url, store, "ada")
        page.picture(pictures / "review.png")
        page.press("?")
        page.wait("document.querySelector('dialog').open")
        page.press("a")  # no verdict behind the dialog's back
        page.picture(pictures / "keys.png")
        page.press("Escape")
        page.wait("!document.querySelector('dialog').open")
        page.press("r")
        page.wait("document.querySelector('details[open] .reasons') !== null")
        page.picture(pictures / "reject.png")
        page.press("Escape")
        page.wait("document.querySelector('details[open]') === null")
        page.press("1")  # a reason's key, with its sheet closed
        page.press("e")
        page.wait("document.activeElement.tagName === 'TEXTAREA'")
        page.write(" are r")  # letters in a text are no keys
        page.picture(pictures / "edit.png")
        page.press("Escape")
        page.press("v")
        page.wait("document.querySelector('.turn.draft .source').checkVisibility()")
        assert "$$x = \\frac" in page.text()
        counted(page, 0)
        first = number_of(page)
        page.press("s")
        page.wait(f"!document.querySelector('.turn.before').innerText.includes('Question {first}')")
        second = number_of(page)
        page.press("a")
        counted(page, 1)
        page.press("u")
        counted(page, 0)
        assert number_of(page) == second
        assert page.errors() == []

        phone = signed_in(browser, url, store, "ada", phone=True)
        phone.picture(pictures / "phone-review.png")
        phone.run("document.querySelector('[data-key=r]').click()")
        phone.picture(pictures / "phone-reject.png")
        phone.run("document.querySelector('[data-key=e]').click()")
        phone.wait("document.querySelectorAll('details[open]').length === 1")
        phone.picture(pictures / "phone-edit.png")
        for path in ("", "chat/review", "chat/conflicts", "chat/guideline", "agreement"):
            phone.open(f"{url}/{path}")
            assert phone.run("document.documentElement.scrollWidth") <= 390, f"{path} is wider than a phone"
            assert phone.run(TOO_SMALL) == "", f"{path}: too small for a finger"
        phone.open(f"{url}/")
        phone.picture(pictures / "phone-overview.png")
    store.engine.dispose()


def test_an_attacking_draft_is_harmless(browser, tmp_path, pictures):
    store = review_store(tmp_path, [draft(0, response=ATTACK), draft(1)], Review(double=1))
    for name in ("ada", "ben"):
        store.add_reviewer(name, adjudicates=False)
    with served(create_app(store)) as url:
        pages = [signed_in(browser, url, store, name) for name in ("ada", "ben")]
        for page, key in zip(pages, "ar", strict=True):
            while number_of(page) != 0:
                page.press("s")
                page.wait("!document.querySelector('.turn.before').innerText.includes('Question 1')")
            page.picture(pictures / "attack.png")
            for selector in ("img", "iframe", "svg", ".turn script", ".turn style", ".turn form", ".turn [hx-post]"):
                assert page.run(f"document.querySelector({selector!r})") is None, selector
            assert page.run("document.querySelector('a[href^=javascript]')") is None
            assert "document.title='owned'" in page.text(), "it is shown as the text it is"
            page.press("e")
            assert page.run("document.querySelector('textarea').value").startswith("</textarea></pre><script>")
            page.press("Escape")
            page.press(key)
            if key == "r":
                page.press("1")
            counted(page, 1)
        pages[0].open(f"{url}/chat/conflicts")
        assert "1 conflict to settle" in pages[0].text()
        for page in pages:
            assert "owned" not in page.run("document.title")
            assert page.dialogs() == []
            assert page.errors() == []
            assert {address.split("/")[2] for address in page.requested()} == {url.split("/")[2]}, "nothing is fetched"
    store.engine.dispose()


def _writing(browser, url, store):
    """The page of somebody in the middle of an edit."""
    store.add_reviewer("ada", adjudicates=False)
    page = signed_in(browser, url, store, "ada")
    page.press("e")
    page.write(" A sentence that took long to write.")
    return page


def test_a_server_that_is_gone_costs_no_text(browser, tmp_path):
    store = review_store(tmp_path, [draft(0)], Review(double=0))
    with served(create_app(store)) as url:
        page = _writing(browser, url, store)
    page.press("Enter", ctrl=True)
    page.wait("!document.querySelector('.notice').hidden")
    assert "not saved yet" in page.text()
    assert "took long to write" in page.run("document.querySelector('textarea').value")
    store.engine.dispose()


def test_being_signed_out_costs_no_text(browser, tmp_path):
    store = review_store(tmp_path, [draft(0)], Review(double=0))
    with served(create_app(store)) as url:
        page = _writing(browser, url, store)
        page.call("Network.clearBrowserCookies")
        page.press("Enter", ctrl=True)
        page.wait("!document.querySelector('.notice').hidden")
        assert "You are signed out" in page.text()
        assert "took long to write" in page.run("document.querySelector('textarea').value")
    store.engine.dispose()
