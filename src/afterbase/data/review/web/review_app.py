"""The web app for reviewers: FastAPI answers with HTML, htmx puts it in place; it works without scripts, too.

The policy for browsers: only our two scripts, no other site, no frame around the page (`_POLICY`). Each
change is committed before it is answered.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

from fastapi import Depends, FastAPI, Request
from fastapi import Path as PathParameter
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from afterbase.core.http.allowed_hosts import LOOPBACK, AllowedHosts
from afterbase.core.http.request_guard import Body, Guard, Refusal, RenderRefusal, RequestLimits
from afterbase.data.review.records import Refused
from afterbase.data.review.review_policy import Review
from afterbase.data.review.review_store import ReviewStore
from afterbase.data.review.review_tables import secret_of
from afterbase.data.review.web import access
from afterbase.data.review.web.pages import Pages
from afterbase.data.review.web.review_forms import decision, number, settlement

_STATIC = Path(__file__).with_name("static")
_COOKIE_SECONDS = 30 * 86_400
_TOTAL_SECONDS = 120.0
_FORM = "application/x-www-form-urlencoded"
_SIGN_IN_BYTES = 4096  # anybody may send it
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self';"
    " base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # with no-referrer a browser would hide the origin of our own forms
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


Sent = tuple[str, dict[str, str]]  # who sent a form, and its fields
ItemId = Annotated[int, PathParameter(ge=1, le=2**31 - 1)]  # what either database takes


def say_as(pages: Pages) -> RenderRefusal:
    """What is refused before a request is read, as a page."""

    def render_refusal(refusal: Refusal) -> tuple[str, bytes]:
        page = pages.problem(refusal.status, f"{refusal.rule}: {refusal.remedy}.")
        return "text/html; charset=utf-8", page.encode()

    return render_refusal


class SignedOut(Exception):  # noqa: N818  # no failure: the way to the page where one signs in
    """Nobody is signed in."""


@dataclass(frozen=True)
class Site:
    """One run's reviews, as requests see them."""

    store: ReviewStore
    secret: bytes
    pages: Pages

    @property
    def cookie(self) -> str:
        return access.cookie_name(self.secret, self.store.run)

    def who(self, token: str) -> str | None:
        """Whose token it is; None where it is nobody's, or was withdrawn."""
        return access.who(self.secret, self.store.run, self.store.withdrawals(), token)

    def reviewer(self, request: Request) -> str:
        """Who is signed in; SignedOut where nobody is."""
        name = self.who(request.cookies.get(self.cookie, ""))
        if name is None:
            raise SignedOut
        return name

    async def signed_form(self, request: Request) -> Sent:
        """Who sent a form, and its fields; 403 unless a page of theirs sent it."""
        name = await run_in_threadpool(self.reviewer, request)
        fields = await access.read_form(request)
        if not access.same(fields.get("word", ""), access.form_word(self.secret, self.store.run, name)):
            raise HTTPException(403, "This form is not one of your pages': load the page again.")
        return name, fields

    def policy(self, domain: str) -> Review:
        """A domain's policy; 404 where the run has no such domain."""
        policies = self.store.domains()
        if domain not in policies:
            raise HTTPException(404, "There is no such domain in this run.")
        return policies[domain]

    def known(self, domain: str) -> str:
        """The domain, which the run has."""
        self.policy(domain)
        return domain


def create_app(store: ReviewStore, names: AllowedHosts = LOOPBACK) -> FastAPI:
    """The application over one run's reviews; `names` are what the server is known as."""
    secret = secret_of(store.engine)
    site = Site(store, secret, Pages(store, secret))
    app = FastAPI(title="afterbase review", docs_url=None, redoc_url=None, openapi_url=None)
    app.mount("/static", StaticFiles(directory=_STATIC), name="static")
    limits = RequestLimits(
        render_refusal=say_as(site.pages),
        names=names,
        # Streamed: who sends a form is known by the cookie, and looked at before it is read.
        bodies={"/sign-in": Body(max_bytes=_SIGN_IN_BYTES, kind=_FORM, streamed=True)},
        other=Body(max_bytes=access.MOST_BYTES, kind=_FORM, streamed=True),
        headers=_HEADERS,
        total_seconds=_TOTAL_SECONDS,
    )
    app.add_middleware(Guard, limits=limits)  # type: ignore[arg-type]  # ASGI's types are written in several ways
    for add in (_add_signing_in, _add_pages, _add_changes, _add_problems):
        add(app, site)
    return app


def _add_signing_in(app: FastAPI, site: Site) -> None:
    @app.get("/sign-in")
    def sign_in_page() -> Response:
        return HTMLResponse(site.pages.sign_in())

    @app.post("/sign-in")
    def sign_in(request: Request, fields: Annotated[dict[str, str], Depends(access.read_form)]) -> Response:
        given = fields.get("token", "").strip()
        if site.who(given) is None:
            return HTMLResponse(site.pages.sign_in(wrong=True), 401)
        response = RedirectResponse("/", 303)
        # uvicorn takes X-Forwarded-Proto from a proxy on this machine alone, or from those in FORWARDED_ALLOW_IPS.
        secure = request.url.scheme == "https"
        response.set_cookie(
            site.cookie, given, max_age=_COOKIE_SECONDS, httponly=True, samesite="strict", secure=secure
        )
        return response

    @app.post("/sign-out")
    def sign_out(_: Annotated[Sent, Depends(site.signed_form)]) -> Response:
        response = RedirectResponse("/sign-in", 303)
        response.delete_cookie(site.cookie, httponly=True, samesite="strict")
        return response


def _add_pages(app: FastAPI, site: Site) -> None:
    pages, known = site.pages, Depends(site.reviewer)

    @app.get("/")
    def overview(name: Annotated[str, known]) -> Response:
        return HTMLResponse(pages.overview(name))

    @app.get("/agreement")
    def agreement(name: Annotated[str, known]) -> Response:
        return HTMLResponse(pages.agreement(name))

    @app.get("/{domain}/review")
    def review(domain: str, name: Annotated[str, known]) -> Response:
        return HTMLResponse(pages.review(name, site.known(domain)))

    @app.get("/{domain}/conflicts")
    def conflicts(domain: str, name: Annotated[str, known]) -> Response:
        return HTMLResponse(pages.conflict(name, site.known(domain)))

    @app.get("/{domain}/guideline")
    def guideline(domain: str, name: Annotated[str, known]) -> Response:
        return HTMLResponse(pages.guideline(name, site.known(domain)))


def _add_changes(app: FastAPI, site: Site) -> None:
    store, pages, signed = site.store, site.pages, Depends(site.signed_form)

    @app.post("/{domain}/review/{item}")
    def give(request: Request, domain: str, item: ItemId, sent: Annotated[Sent, signed]) -> Response:
        name, fields = sent
        policy = site.policy(domain)

        def change() -> None:
            seen = store.item(domain, item)
            if fields.get("outcome") == "skip":
                store.skip(item, name)
                return
            outcome, reason, edited = decision(fields, policy, seen)
            store.give(item, name, outcome, reason=reason, edited=edited)

        return _after(request, change, lambda notice, work: pages.review(name, domain, notice=notice, work=work))

    @app.post("/{domain}/conflicts/{item}")
    def settle(request: Request, domain: str, item: ItemId, sent: Annotated[Sent, signed]) -> Response:
        name, fields = sent
        policy = site.policy(domain)

        def change() -> None:
            seen = store.item(domain, item)
            outcome, reason, edited = settlement(fields, policy, seen)
            store.settle(item, name, outcome, reason=reason, edited=edited, version=number(fields, "version"))

        return _after(request, change, lambda notice, work: pages.conflict(name, domain, notice=notice, work=work))

    @app.post("/{domain}/undo")
    def undo(request: Request, domain: str, sent: Annotated[Sent, signed]) -> Response:
        name, fields = sent
        settles = fields.get("of") == "conflicts"
        page = pages.conflict if settles else pages.review
        return _after(
            request,
            lambda: store.undo(site.known(domain), name, number(fields, "verdict"), settles=settles),
            lambda notice, work: page(name, domain, notice=notice, work=work),
        )


def _after(request: Request, change: Callable[[], None], page: Callable[[str, bool], str]) -> Response:
    """Do it, then show what comes next; what is Refused is said there. Without htmx, a page of its own address."""
    notice = ""
    try:
        change()
    except Refused as refused:
        notice = str(refused)
    if request.headers.get("hx-request") == "true":
        return HTMLResponse(page(notice, True), 409 if notice else 200)
    if notice:
        return HTMLResponse(page(notice, False), 409)
    back = "conflicts" if "/conflicts" in request.url.path else "review"
    return RedirectResponse(f"/{quote(request.path_params['domain'])}/{back}", 303)


def _add_problems(app: FastAPI, site: Site) -> None:
    pages = site.pages

    @app.exception_handler(SignedOut)
    async def to_sign_in(request: Request, _: Exception) -> Response:
        if request.method == "GET":
            return RedirectResponse("/sign-in", 303)
        # Where a script sent the form, the page stays with this sentence on it, and with all that was written.
        return HTMLResponse(pages.problem(401, "You are signed out, and this was not taken: sign in again first."), 401)

    @app.exception_handler(HTTPException)
    async def render_refusal(_: Request, error: HTTPException) -> Response:
        return HTMLResponse(pages.problem(error.status_code, str(error.detail)), error.status_code)

    @app.exception_handler(RequestValidationError)
    async def say_invalid(_: Request, __: Exception) -> Response:
        return HTMLResponse(pages.problem(404, "There is no such page."), 404)

    @app.exception_handler(Refused)
    async def say_refused(_: Request, error: Exception) -> Response:
        return HTMLResponse(pages.problem(404, str(error)), 404)
