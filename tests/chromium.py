"""A real headless Chromium for a test, driven over a pipe by its own DevTools protocol: no driver, no dependency."""

import base64
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

_PATIENCE = 60.0  # seconds until a page that does not do what is expected fails the test
_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
_SPECIAL = {"Enter": ("Enter", 13, "\r"), "Escape": ("Escape", 27, ""), "Tab": ("Tab", 9, "")}


class Browser:
    """One browser; each page is a profile of its own, with its own cookies."""

    def __init__(self, to_browser: int, from_browser: int) -> None:
        self._to, self._from = to_browser, from_browser
        self._id, self._rest = 0, b""
        self._events: list[dict[str, Any]] = []

    def call(self, method: str, session: str | None = None, **params: Any) -> dict[str, Any]:
        """The result of one method of the protocol; what happens meanwhile is kept as events."""
        self._id += 1
        message = {"id": self._id, "method": method, "params": params}
        if session is not None:
            message["sessionId"] = session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self._id:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]
            self._events.append(answer)

    def events(self, session: str, method: str) -> list[dict[str, Any]]:
        """What happened on a page so far."""
        return [e["params"] for e in self._events if e.get("sessionId") == session and e["method"] == method]

    def page(self, *, width: int = 1280, height: int = 800, phone: bool = False) -> "Page":
        """A new page that shares nothing with the others; sizes in CSS pixels."""
        context = self.call("Target.createBrowserContext")["browserContextId"]
        target = self.call("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = Page(self, session)
        for domain in ("Page", "Runtime", "Log", "Network"):
            page.call(f"{domain}.enable")
        page.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone
        )  # fmt: skip
        if phone:
            page.call("Emulation.setTouchEmulationEnabled", enabled=True)
        return page

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            block = os.read(self._from, 1 << 16)
            assert block, "the browser is gone"
            self._rest += block
        message, _, self._rest = self._rest.partition(b"\0")
        return json.loads(message)


class Page:
    """One page; `wait` is for what the page does by itself."""

    def __init__(self, browser: Browser, session: str) -> None:
        self._browser, self._session = browser, session

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        return self._browser.call(method, self._session, **params)

    def open(self, url: str) -> None:
        self.run("window.theOneBefore = true")
        new = "loaderId" in self.call("Page.navigate", url=url)  # otherwise only what is behind the # changed
        self.wait(f"document.readyState === 'complete' && {'window.theOneBefore === undefined' if new else 'true'}")

    def run(self, expression: str) -> Any:
        """The value of a JavaScript expression, as JSON gives it; None while a page is being changed for another."""
        try:
            answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        except AssertionError as error:
            if "context" in str(error):
                return None
            raise
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait(self, expression: str) -> Any:
        """The value once it is true; fails the test where it does not become so."""
        deadline = time.monotonic() + _PATIENCE
        while not (value := self.run(expression)):
            assert time.monotonic() < deadline, f"never true: {expression}\n{self.text()}"
            time.sleep(0.02)
        return value

    def text(self) -> str:
        return self.run("document.body.innerText") or ""

    def press(self, key: str, *, ctrl: bool = False) -> None:
        """One key down and up, as a keyboard sends it."""
        name, code, text = _SPECIAL.get(key, (key, ord(key[0].upper()), key))
        common = {"key": name, "windowsVirtualKeyCode": code, "modifiers": 2 if ctrl else 0}
        self.call("Input.dispatchKeyEvent", type="keyDown", text="" if ctrl else text, **common)
        self.call("Input.dispatchKeyEvent", type="keyUp", **common)

    def write(self, text: str) -> None:
        self.call("Input.insertText", text=text)

    def errors(self) -> list[str]:
        """What the console and the page's own policy complained of, and scripts that failed."""
        logged = [e["entry"]["text"] for e in self._browser.events(self._session, "Log.entryAdded")]
        failed = self._browser.events(self._session, "Runtime.exceptionThrown")
        return [*logged, *(e["exceptionDetails"]["text"] for e in failed)]

    def requested(self) -> list[str]:
        """Every address that the page asked for."""
        sent = self._browser.events(self._session, "Network.requestWillBeSent")
        return [event["request"]["url"] for event in sent]

    def dialogs(self) -> list[str]:
        return [e["message"] for e in self._browser.events(self._session, "Page.javascriptDialogOpening")]

    def picture(self, path: Path) -> None:
        """What is on the screen, as PNG."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))


def binary() -> str | None:
    """Where Chromium is, or None."""
    return next(filter(None, map(shutil.which, _NAMES)), None)


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser until the block ends; skips the test where there is none."""
    program = binary()
    if program is None:
        pytest.skip(f"no Chromium here (apt-get install chromium): looked for {', '.join(_NAMES)}")
    profile = tempfile.mkdtemp(prefix="chromium")
    browser_in, to_browser = os.pipe()
    from_browser, browser_out = os.pipe()

    def take_pipes() -> None:
        """The browser reads at 3 and writes to 4."""
        high_in, high_out = os.dup(browser_in), os.dup(browser_out)
        os.dup2(high_in, 3)
        os.dup2(high_out, 4)

    arguments: list[str] = ["--headless", "--remote-debugging-pipe", f"--user-data-dir={profile}", "--no-first-run"]
    arguments += ["--disable-gpu", "--disable-dev-shm-usage", "--disable-extensions", "--hide-scrollbars"]
    if os.geteuid() == 0:
        arguments.append("--no-sandbox")  # Chromium's own does not start as root
    process = subprocess.Popen(
        [program, *arguments],
        pass_fds=(3, 4),
        preexec_fn=take_pipes,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(browser_in)
    os.close(browser_out)
    try:
        yield Browser(to_browser, from_browser)
    finally:
        process.kill()
        process.wait()
        os.close(to_browser)
        os.close(from_browser)
        shutil.rmtree(profile, ignore_errors=True)
