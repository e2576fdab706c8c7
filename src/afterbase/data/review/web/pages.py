"""The app's pages as HTML. `work=True` gives the part that htmx puts in place, not the whole page."""

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from afterbase.core.sanitize import sanitized
from afterbase.data.review.agreement import Agreement, alpha, by_pair, by_reviewer
from afterbase.data.review.records import Item, ReviewProgress, ReviewRate
from afterbase.data.review.review_store import ReviewStore
from afterbase.data.review.web import access
from afterbase.data.review.web.changes import words
from afterbase.data.review.web.render import render

SHOWN_FROM = 10
"""Drafts that two people reviewed from which agreement is shown: fewer would tell one what the other said."""
_PACE_FROM = 5  # verdicts
_DIGITS = "1234567890"


class Pages:
    """Templates, and what they show."""

    def __init__(self, store: ReviewStore, secret: bytes) -> None:
        self._store, self._secret = store, secret
        self._environment = Environment(
            loader=PackageLoader("afterbase.data.review.web"),
            autoescape=True,
            trim_blocks=True,
            lstrip_blocks=True,
            undefined=StrictUndefined,
        )
        self._environment.filters |= {"words": lambda name: name.replace("_", " "), "visible": sanitized}

    def sign_in(self, *, wrong: bool = False) -> str:
        """Where a token is entered."""
        return self._page("sign_in.html.j2", wrong=wrong)

    def problem(self, status: int, sentence: str) -> str:
        """What went wrong, and a way back."""
        return self._page("problem.html.j2", status=status, sentence=sentence)

    def overview(self, name: str) -> str:
        """Every domain: what is left for this person, for all, and until the run may go on."""
        rows = [
            {"domain": domain, "progress": self._shown_progress(domain, name), "pace": self._pace(domain, name)}
            for domain in self._store.domains()
        ]
        return self._page("overview.html.j2", name, rows=rows)

    def review(self, name: str, domain: str, *, notice: str = "", work: bool = False) -> str:
        """The next draft for this person, or why there is none."""
        item = self._store.next_item(domain, name)
        return self._page(
            "review_work.html.j2" if work else "review.html.j2",
            name,
            domain,
            notice=notice,
            item=item,
            turns=_turns(item),
            pace=self._pace(domain, name),
            # Without a draft the page says what is missing, conflicts among it.
            progress=self._shown_progress(domain, name) if item is None else self._store.progress(domain),
            last=self._store.last(domain, name),
            reasons=self._reasons(domain),
        )

    def conflict(self, name: str, domain: str, *, notice: str = "", work: bool = False) -> str:
        """The next conflict with its verdicts, for those who may settle it."""
        may = self._store.reviewers()[name]
        item = self._store.conflict(domain) if may else None
        return self._page(
            "conflict_work.html.j2" if work else "conflict.html.j2",
            name,
            domain,
            notice=notice,
            may=may,
            item=item,
            turns=_turns(item),
            votes=_votes(item, name),
            progress=self._shown_progress(domain, name),
            last=self._store.last(domain, name, settles=True),
            reasons=self._reasons(domain),
        )

    def agreement(self, name: str) -> str:
        """Alpha and kappa by domain, reviewer and pair, once they tell nobody what another said of a draft."""
        rows = []
        for domain, policy in self._store.domains().items():
            units = self._store.units(domain)
            overall = alpha(units)
            shown = overall.units >= SHOWN_FROM
            self._store.note_conflicts_seen(domain, name)  # one more that differ: they know which
            measures: list[tuple[str, Agreement]] = []
            if shown:
                measures = [("all reviewers", overall), *by_reviewer(units).items()]
                measures += [(f"{a} and {b}", kappa) for (a, b), kappa in by_pair(units).items()]
            rows.append(
                {"domain": domain, "min_alpha": policy.min_alpha, "units": overall.units, "measures": measures,
                 "pairs": len(by_pair(units)) if shown else 0}
            )  # fmt: skip
        return self._page("agreement.html.j2", name, rows=rows, shown_from=SHOWN_FROM)

    def guideline(self, name: str, domain: str) -> str:
        """What a domain's reviewers go by."""
        text = Markup(render(self._store.guideline(domain), breaks=False))  # sanitised
        return self._page("guideline.html.j2", name, domain, text=text)

    def _page(self, template: str, name: str | None = None, domain: str | None = None, **content: Any) -> str:
        common = {"run": self._store.run, "name": name, "domain": domain, "word": ""}
        if name is not None:
            word = access.form_word(self._secret, self._store.run, name)
            domains = list(self._store.domains())
            common |= {"word": word, "domain": domains[0] if len(domains) == 1 else domain}
        return self._environment.get_template(template).render(**common, **content)

    def _reasons(self, domain: str) -> list[tuple[str, str]]:
        """(key, reason)"""
        return list(zip(_DIGITS, self._store.domains()[domain].reasons, strict=False))

    def _shown_progress(self, domain: str, name: str) -> ReviewProgress:
        """How far a domain is, for a page that says how many conflicts there are."""
        progress = self._store.progress(domain)
        self._store.note_conflicts_seen(domain, name)  # after the count, so that it holds every one that was counted
        return progress

    def _pace(self, domain: str, name: str) -> dict[str, Any]:
        return _spoken(self._store.pace(domain, name))


def _spoken(pace: ReviewRate) -> dict[str, Any]:
    """Numbers of a pace as the pages say them."""
    known = pace.seconds if pace.given >= _PACE_FROM else None
    rate = f"{3600 / known:.0f} an hour" if known else None
    left = _duration(known * pace.left) if known and pace.left else None
    return {"given": pace.given, "left": pace.left, "total": pace.given + pace.left, "rate": rate, "time_left": left}


def _duration(seconds: float) -> str:
    minutes = max(1, round(seconds / 60))
    return f"about {minutes} min" if minutes < 90 else f"about {minutes / 60:.0f} h"


def _turns(item: Item | None) -> list[dict[str, Any]]:
    """Messages of a draft: role, safe HTML, and the source as it is."""
    if item is None:
        return []
    return [
        {"role": m["role"], "html": Markup(render(m["content"])), "source": sanitized(m["content"])}
        for m in item.messages
    ]


def _votes(item: Item | None, name: str) -> list[dict[str, Any]]:
    """The verdicts on a conflict without names: who said it is no argument."""
    if item is None:
        return []
    draft = item.messages[-1]["content"]
    return [
        {
            "outcome": str(vote.outcome),
            "reason": vote.reason,
            "own": vote.reviewer == name,
            "changes": [] if vote.edited is None else [(kind, sanitized(t)) for kind, t in words(draft, vote.edited)],
        }
        for vote in item.votes
    ]
