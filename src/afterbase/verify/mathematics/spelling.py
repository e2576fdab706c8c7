r"""One spelling for answers in LaTeX, Unicode or plain text, before anything reads them.

`spelled` replaces what looks alike by one form: 12{,}500 and 12 500 by 12500, \dfrac by \frac, the Unicode minus by a
hyphen, \left( by (. It drops dollars, delimiters and the full stop at the end. `normal` is the sequence of tokens in
which neither spaces nor braces around a single token are left. No value is computed here.
"""

import re
import unicodedata

ROW = "\x03"
"""Stands for the two backslashes between the rows of a matrix."""

_SUPERSCRIPTS = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ", "0123456789+-n", strict=True))
_SUBSCRIPTS = dict(zip("₀₁₂₃₄₅₆₇₈₉₊₋", "0123456789+-", strict=True))
_SIGNS = dict.fromkeys("−–—‐‑‒﹣－", "-") | dict.fromkeys("×·⋅", r"\cdot ") | dict.fromkeys("÷∕⁄", "/")
_SIGNS |= {"∗": "*", "±": r"\pm ", "∓": r"\mp ", "≈": r"\approx ", "≡": r"\equiv ", "≠": r"\neq "}
_SIGNS |= dict.fromkeys("≤⩽", r"\leq ") | dict.fromkeys("≥⩾", r"\geq ") | dict.fromkeys("…⋯", r"\ldots ")
_SIGNS |= {
    "∪": r"\cup ",
    "∩": r"\cap ",
    "∈": r"\in ",
    "∅": r"\emptyset ",
    "∞": r"\infty ",
    "∖": r"\setminus ",
    "∣": "|",
}
_SIGNS |= {"ℝ": r"\mathbb{R}", "ℤ": r"\mathbb{Z}", "ℕ": r"\mathbb{N}", "ℚ": r"\mathbb{Q}", "ℂ": r"\mathbb{C}"}
_SIGNS |= {"°": r"^\circ ", "º": r"^\circ ", "∠": r"\angle ", "√": r"\sqrt ", "∛": r"\sqrt[3]", "′": "'", "’": "'"}
_SIGNS |= {
    "⌊": r"\lfloor ",
    "⌋": r"\rfloor ",
    "⌈": r"\lceil ",
    "⌉": r"\rceil ",
    **{
        "∑": r"\sum ",
        "∏": r"\prod ",
        "∫": r"\int ",
        "∂": r"\partial ",
        "∇": r"\nabla ",
        "∀": r"\forall ",
        "∃": r"\exists ",
    },
    **{"→": r"\to ", "⇒": r"\implies ", "⊂": r"\subset ", "⊆": r"\subseteq ", "∉": r"\notin ", "∝": r"\propto "},
    **{"⊥": r"\perp ", "∥": r"\parallel ", "△": r"\triangle ", "⟨": "(", "⟩": ")", "‖": r"\|", "∶": ":"},
    "∨": r"\lor ",
    "∧": r"\land ",
    "或": r"\text{ or }",
    "和": r"\text{ and }",
}
_SIGNS |= {"，": ",", "、": ",", "：": ":", "；": ";", "。": "."}
_GREEK = {
    **{"α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "epsilon", "ζ": "zeta", "η": "eta", "θ": "theta"},
    **{"κ": "kappa", "λ": "lambda", "μ": "mu", "ν": "nu", "ξ": "xi", "π": "pi", "ρ": "rho", "σ": "sigma", "τ": "tau"},
    **{"φ": "phi", "χ": "chi", "ψ": "psi", "ω": "omega", "Γ": "Gamma", "Δ": "Delta", "Θ": "Theta", "Λ": "Lambda"},
    **{"Σ": "Sigma", "Φ": "Phi", "Ψ": "Psi", "Ω": "Omega", "Π": "Pi"},
}
_SIGNS |= {letter: f"\\{name} " for letter, name in _GREEK.items()}
_RAISED = re.compile(f"[{''.join(_SUPERSCRIPTS)}]+")
_LOWERED = re.compile(f"[{''.join(_SUBSCRIPTS)}]+")
_VULGAR = re.compile("[¼-¾⅐-⅞]")

_NAMES = dict.fromkeys(["dfrac", "tfrac", "cfrac"], r"\frac") | dict.fromkeys(["dbinom", "tbinom"], r"\binom")
_NAMES |= dict.fromkeys(["le", "leqslant"], r"\leq ") | dict.fromkeys(["ge", "geqslant"], r"\geq ")
_NAMES |= {"lt": "<", "gt": ">", "ne": r"\neq ", "div": "/", "colon": ":", "varnothing": r"\emptyset "}
_NAMES |= dict.fromkeys(["lVert", "rVert", "Vert"], r"\|") | {"rightarrow": r"\to "}
_NAMES |= {"infin": r"\infty ", "bigcup": r"\cup ", "backslash": r"\setminus ", "overrightarrow": r"\vec"}
_NAMES |= dict.fromkeys(["times", "ast"], r"\cdot ") | dict.fromkeys(["mid", "vert", "lvert", "rvert"], "|")
_NAMES |= {"lbrace": r"\{", "rbrace": r"\}", "lbrack": "[", "rbrack": "]", "langle": "(", "rangle": ")"}
_NAMES |= dict.fromkeys(["dots", "cdots", "dotsc"], r"\ldots ")
_NAMES |= dict.fromkeys(["quad", "qquad", "space", "thinspace", "enspace"], " ")
_NAMES |= dict.fromkeys(["displaystyle", "textstyle", "limits", "nolimits", "rm", "bf", "it", "left", "right"], "")
_NAMES |= {f"{size}{side}": "" for size in ("big", "Big", "bigg", "Bigg") for side in ("", "l", "r")}
_NAMES |= dict.fromkeys(["degree", "degrees", "textdegree"], r"^\circ ")
_NAMES |= {"textdollar": "$", "dollar": "$", "pounds": "£", "euro": "€", "texteuro": "€", "textpercent": "%"}
_NAMES |= {"lor": r"\text{ or }", "land": r"\text{ and }", "R": r"\mathbb{R}", "lg": r"\log_{10}"}
_NAMES |= {"varepsilon": r"\epsilon ", "varphi": r"\phi ", "vartheta": r"\theta ", "textpi": r"\pi "}
_COMMAND = re.compile(r"\\([a-zA-Z]+)")
_TEXTS = "text|textbf|textit|textrm|textnormal|textsf|texttt|mathrm|mathsf|mathit|mbox|hbox|operatorname|emph"
_TEXT = re.compile(rf"\\(?:{_TEXTS})\*?\s*\{{([^{{}}\\]*)\}}")
_BOLD = re.compile(r"\\(?:mathbf|boldsymbol|bm|pmb)\s*\{([^{}]*)\}")
_WRAPPED = re.compile(r"\s*\\(?:boxed|fbox|text|mathrm|textbf|mathbf|boldsymbol|mathit|ensuremath)\s*\{")
_FENCE = re.compile(r"\\(?:left|right)\s*\.")
_INFINITY = re.compile(
    r"(?<![a-zA-Z\\])(?:\\text\s*\{\s*)?(?:(positive|plus)\s+|(negative|minus)\s+|(?=i))infinity(?:\s*\})?(?![a-zA-Z])",
    re.IGNORECASE,
)
_EXCEPT = re.compile(
    r"(?:\\text\s*\{\s*)?all real(?:s| numbers),?\s*(?:except|other than|but|excluding)(?:\s+for)?\s*\}?\s*"
    r"(?:(?:\\text\s*\{\s*)?[a-z]\s*(?:=|\\neq)\s*)?([^{}a-z]+)\}?",
    re.IGNORECASE,
)
_REALS = re.compile(r"(?:the set of )?(?:\\text\s*\{\s*)?(?:all|any) real(?:s| numbers?)\s*\}?[\s.]*", re.IGNORECASE)
_PROSE = re.compile(r"(?<![a-zA-Z\\])[a-zA-Z]{2,}")
_TIMES_TEN = re.compile(r"(?<=\d)\s*[xX]\s*(?=10\s*\^)")
_REVERSED = re.compile(
    r"(?:^|[=({,]|\\(?:cup|cap|in|setminus)|(?<=[\[\])])\s*U)\s*\]|\[\s*(?:$|[)},]|\\(?:cup|cap|setminus)|U)"
)
_INTERVAL = re.compile(r"([\[\]])([^\[\],;]+)([,;])([^\[\],;]+)([\[\]])")
_SPACE = re.compile(r"(?:\\[,;:> ]|~|\s)+")
_NO_MONEY = re.compile(r"\$(?!\s*[-+]?\s*(?:[\d.]|\\[dt]?frac))(?<![\d}]\$)")
_CIRCLE = re.compile(r"\^\s*(?:\{\s*\\circ\s*\}|\\circ(?![a-zA-Z]))")
_CHOOSE = re.compile(r"\{\s*([^{}\\]+?)\s*\\choose\s*([^{}\\]+?)\s*\}")
_COMMA = re.compile(r",\\!|\{\s*,\s*\}")
_THOUSANDS = re.compile(r"(?<![\d.,_^/])(?<!\d )\d{1,3}(?: \d{3})+(?!\d|,\d|/| \d)")
_TRAILING = re.compile(r"[\s.,;:]+$")
_FUNCTIONS_TEXT = "sin cos tan cot sec csc arcsin arccos arctan sinh cosh tanh ln log exp"
_FUNCTIONS = frozenset(_FUNCTIONS_TEXT.split())
_TOKEN = re.compile(r"\\[a-zA-Z]+|\\.|\d+(?:\.\d+)?|\.\d+|[^\s]")


def spelled(text: str) -> str:
    """The answer in one spelling; the same for every answer that is already in it."""
    if not text.isascii():
        text = _ascii(text)
    # Two backslashes end a row of a matrix; elsewhere somebody escaped one twice.
    text = text.strip().replace("\\\\", ROW if r"\begin" in text else "\\")
    if "$" in text:
        text = _money(text)
    while (wrapped := _WRAPPED.match(text)) and (inner := _inside(text, wrapped.end() - 1)) is not None:
        text = inner.strip()
    text = _COMMA.sub(",", text)
    if "nfinity" in text.lower():
        named = _INFINITY.sub(lambda found: ("-" if found[2] else "") + r"\infty ", text)
        text = text if _PROSE.search(named) else named
    if "eal" in text:
        text = r"\mathbb{R}" if _REALS.fullmatch(text) else _EXCEPT.sub(r"\\mathbb{R}\\setminus\\{\1\\}", text)
    if "\\" in text:
        text = _without_commands(text)
    text = _SPACE.sub(" ", text.replace(r"\!", "")).replace(r"\%", "%").replace("...", r"\ldots ")
    text = _TRAILING.sub("", text.strip())
    if ("]" in text or "[" in text) and _REVERSED.search(text):
        text = _INTERVAL.sub(_forwards, text)
    if "10" in text and "^" in text:
        text = _TIMES_TEN.sub(r"\\cdot ", text)
    return _THOUSANDS.sub(lambda number: number.group().replace(" ", ""), text)


def respelled(text: str) -> str:
    """The answer in that spelling as LaTeX, for a parser other than ours."""
    return spelled(text).replace(ROW, "\\\\ ").replace("%", "\\%").replace("$", "")


def _money(text: str) -> str:
    r"""\$5 and $5 as $5, the dollars that enclose formulas gone."""
    enclosing = text.count("$") - text.count(r"\$")
    text = re.sub(r"(?<!\\)\$", "" if enclosing % 2 == 0 else "$", text).replace(r"\$", "$")
    return _NO_MONEY.sub("", text)


def normal(text: str) -> tuple[str, ...]:
    """The tokens of a spelled text: no spaces, no \\text, no braces around one token, no capitals in plain words."""
    tokens = _TOKEN.findall(_TEXT.sub(r" \1 ", text))
    out: list[str] = []
    for token in tokens:
        if token == "}" and len(out) > 1 and out[-2] == "{":
            out[-2:] = [out[-1]]
        else:
            out.append(token)
    return tuple(out)


def _ascii(text: str) -> str:
    text = _RAISED.sub(lambda found: "^{" + "".join(map(_SUPERSCRIPTS.__getitem__, found.group())) + "}", text)
    text = _LOWERED.sub(lambda found: "_{" + "".join(map(_SUBSCRIPTS.__getitem__, found.group())) + "}", text)
    text = _VULGAR.sub(_vulgar, text)
    text = "".join(_SIGNS.get(sign, sign) for sign in text)
    return "".join(_SIGNS.get(sign, sign) for sign in unicodedata.normalize("NFKC", text))


def _vulgar(found: re.Match[str]) -> str:
    above, _, below = unicodedata.normalize("NFKC", found.group()).partition("⁄")
    return rf"\frac{{{above}}}{{{below}}}" if below else found.group()


def _forwards(found: re.Match[str]) -> str:
    """]1,2[ as (1,2)."""
    opening, low, between, high, closing = found.groups()
    return ("(" if opening == "]" else "[") + low + between + high + (")" if closing == "[" else "]")


def _without_commands(text: str) -> str:
    text = _FENCE.sub(" ", text)
    text = _COMMAND.sub(lambda found: _NAMES.get(found[1], found[0]), text)
    text = _CHOOSE.sub(r"\\binom{\1}{\2}", text)
    text = _CIRCLE.sub(r"^\\circ ", text)
    text = _TEXT.sub(_one_text, text)
    text = _BOLD.sub(lambda found: rf"\mathbf{{{found[1]}}}" if found[1].isalpha() else found[1], text)
    return re.sub(r"\\[()]", " ", text)


def _one_text(found: re.Match[str]) -> str:
    inner = found[1]
    if inner.strip() in _FUNCTIONS:
        return f"\\{inner.strip()} "
    return rf"\text{{{inner}}}"


def _inside(text: str, start: int) -> str | None:
    """What stands between the brace at `start` and the one that ends the text, if they are a pair."""
    depth = 0
    for place in range(start, len(text)):
        depth += (text[place] == "{") - (text[place] == "}")
        if depth == 0:
            return text[start + 1 : place] if place == len(text) - 1 else None
    return None
