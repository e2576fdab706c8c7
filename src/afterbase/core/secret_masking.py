"""Secrets kept out of all output: messages, reports, artifacts, copies of recipes.

Known by their value (what the environment holds under a name such as `..._TOKEN`, and what `hide` was told), and by
their form: a password in a URL, a key in a query, a bearer token, keys as the large providers make them.

Does not cover: a secret that is cut in two, encoded, or of fewer than eight characters.
"""

import os
import re

MASK = "***"
_LEAST = 8  # shorter values are words, ports and flags
_NAMES = re.compile(r"TOKEN(?!IZER)|SECRET|PASSWORD|PASSWD|API_?KEY|ACCESS_?KEY|PRIVATE_?KEY|CREDENTIAL", re.IGNORECASE)
# A password ends at the last @ of a word: it may hold / and @ itself. A port is none.
_PASSWORD = re.compile(r"(://[^\s:/?#@]*):(?![0-9]+(?:[/\s?#]|$))[^\s\"'`]*@")
_FORMS = (
    (_PASSWORD, rf"\1:{MASK}@"),
    (
        re.compile(
            r"([?&](?:api[-_]?key|key|access[-_]?token|auth|token|password|secret|sig|signature)=)[^&\s\"'`]+", re.I
        ),
        rf"\1{MASK}",
    ),
    (re.compile(r"\b(Bearer|Basic) +[^\s\"'`,;]{8,}"), rf"\1 {MASK}"),
    (
        re.compile(r"\b(?:sk|pk|rk|gsk|hf|r8|ghp|gho|ghs|github_pat|glpat|xox[abprs]|nvapi|AIza|AKIA)[-_]?[\w-]{16,}"),
        MASK,
    ),
)
_hidden: set[str] = set()


def hide(secret: str) -> str:
    """Have a secret that this process has read masked from here on, whatever its form; gives it back."""
    if len(secret) >= _LEAST:
        _hidden.add(secret)
    return secret


def masked(text: str) -> str:
    """The text with `***` for every secret in it."""
    known = {value for name, value in os.environ.items() if len(value) >= _LEAST and _NAMES.search(name)}
    for secret in sorted(known | _hidden, key=len, reverse=True):
        text = text.replace(secret, MASK)
    for form, mask in _FORMS:
        text = form.sub(mask, text)
    return text


def holds_password(text: str) -> bool:
    """Whether there is a URL with a password in a text."""
    return bool(_PASSWORD.search(text))
