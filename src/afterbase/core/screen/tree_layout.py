"""The lines of the screen: a run's head and its tree of stages, for any width and height.

Important things come first in a line, and what has no room is left out whole. A branch in which nothing runs is one
line where the whole tree is longer than the screen; where that is still too long, running stages alone keep theirs, and
at last their branches go.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from afterbase.core.sanitize import on_one_line
from afterbase.core.screen.run_state import Branch, RunState
from afterbase.core.screen.short_forms import about, duration, sparkline
from afterbase.core.screen.stage_state import StageState

_STYLES = {"waiting": "dim", "running": "", "done": "green", "cached": "dim green", "stopped": "red"}
_GAP, _INDENT = "  ", "  "
_NAMES = 0.45  # of the width, at most, for names
_SPARKS = 10  # characters of a curve
_NOTHING, _QUIET_BRANCHES, _QUIET_STAGES, _NEIGHBOURS = range(4)  # what is folded

Part = tuple[str, str]
"""A text and its style."""


@dataclass(frozen=True)
class _Page:
    """What all lines of one drawing share; `names` is the width of the column of names."""

    now: float
    width: int
    names: int

    @property
    def bar(self) -> int:
        return 0 if self.width < 60 else 12 if self.width < 100 else 24


def screen_lines(run: RunState, *, width: int, height: int, now: float) -> list[Text]:
    """The lines while it runs: at most `height`, none longer than `width`."""
    tree = run.tree()
    page = _page(tree, width, now)
    head = list(_head(run, page))
    for fold in (_NOTHING, _QUIET_BRANCHES, _QUIET_STAGES, _NEIGHBOURS):
        lines = [*head, *_children(tree, fold, page)]
        if len(lines) <= height:
            return lines
    active = Branch(children=[stage for stage in tree.stages() if stage.state in ("running", "stopped")])
    return [head[0], *_children(active, _NOTHING, page)][: max(1, height)]


def last_lines(run: RunState, *, width: int, now: float) -> list[Text]:
    """What stays when it has ended: a line for each branch and each stopped stage; without branches, for each stage."""
    tree = run.tree()
    page, stages = _page(tree, width, now), list(tree.stages())
    branched = any(isinstance(child, Branch) for child in tree.children)
    count = f"{_made(stages)} of {len(stages)} stages done"
    head = _line([(on_one_line(run.title), "bold"), (f"{count} in {duration(now - run.began)}", "")], page)
    return [head, *_children(tree, _QUIET_STAGES if branched else _NOTHING, page)]


def stage_lines(stage: StageState, *, width: int, now: float) -> list[Text]:
    """The line of a stage that belongs to no run, or two lines."""
    return list(_stage(stage, Branch(), _page(Branch(children=[stage]), width, now)))


def shortened(text: str, width: int) -> str:
    """A text of at most `width` cells: what is too long loses its middle, as names differ at both ends."""
    if cell_len(text) <= width:
        return text
    if width < 3:
        return set_cell_size(text, max(0, width))
    tail = ""
    for character in reversed(text):
        if cell_len(character + tail) > (width - 1) // 2:
            break
        tail = character + tail
    return set_cell_size(text, width - 1 - cell_len(tail)) + "…" + tail


def _page(tree: Branch, width: int, now: float) -> _Page:
    return _Page(now, width, min(max(_name_widths(tree), default=0), int(_NAMES * width)))


def _name_widths(branch: Branch) -> Iterator[int]:
    for child in branch.children:
        yield cell_len(_indent(branch) + _title(child, branch))
        if isinstance(child, Branch):
            yield from _name_widths(child)


def _indent(branch: Branch) -> str:
    """What stands before the children of a branch."""
    return _INDENT * len(branch.path)


def _title(child: StageState | Branch, branch: Branch) -> str:
    """A name without what its branches say already."""
    if isinstance(child, Branch):
        return on_one_line(child.path[-1])
    title = child.name
    for part in branch.path:
        title = title.removesuffix(f" [{part}]").removeprefix(f"{part}, ")
    return on_one_line(title)


def _head(run: RunState, page: _Page) -> Iterator[Text]:
    """Name, stages done, time so far, the time left; and where it computes, on a line of its own where it must."""
    stages = list(run.stages.values())
    seconds = run.left(page.now)
    left = [] if seconds is None else [(f"{about(seconds)} left", "bold")]
    running = any(stage.state == "running" for stage in stages)
    idle = [] if running else [("starting the next stage", "dim")]  # processes and models take seconds to load
    title, place = on_one_line(run.title), (on_one_line(run.place), "dim")
    made, spent = _made(stages), (duration(page.now - run.began), "")
    long = [(title, "bold"), (f"{made} of {len(stages)} stages done", ""), spent]
    short = [(shortened(title, page.width // 3), "bold"), (f"{made}/{len(stages)}", "")]
    wanted = ([*long, *left, *idle, place], [*long, *left, *idle], [*long, *left])
    parts = next((parts for parts in wanted if _length(parts) <= page.width), [*short, *left])
    yield _line(parts, page)
    if place not in parts:
        yield _line([place], page)


def _made(stages: Sequence[StageState]) -> int:
    return sum(stage.state in ("done", "cached") for stage in stages)


def _children(branch: Branch, fold: int, page: _Page) -> Iterator[Text]:
    """The lines of what is in a branch."""

    def merged(child: StageState | Branch) -> str:
        """Neighbours of one such word are one line; an empty one stays alone."""
        if fold < _NEIGHBOURS or not isinstance(child, Branch) or child.active:
            return ""
        return "done" if all(stage.ended for stage in child.stages()) else "waiting"

    for state, group in groupby(branch.children, merged):
        children = list(group)
        if state and len(children) > 1:
            yield _line([(f"{_indent(branch)}{len(children)} parts {state}", "dim")], page)
            continue
        for child in children:
            if isinstance(child, Branch):
                yield from _branch(child, branch, fold, page)
            elif fold < _QUIET_STAGES or child.state in ("running", "stopped"):
                yield from _stage(child, branch, page)


def _branch(branch: Branch, within: Branch, fold: int, page: _Page) -> Iterator[Text]:
    """Its own line, and those of what is in it unless it is folded."""
    stages = list(branch.stages())
    made, seconds = _made(stages), [stage.seconds for stage in stages if stage.state == "done"]
    count = f"{len(stages)} stage{'s' if len(stages) > 1 else ''}"
    if made == len(stages):
        told = [(f"done in {duration(sum(seconds))}", "green") if seconds else ("cached", "dim green"), (count, "dim")]
    elif made or branch.active:
        told = [(f"{made} of {count} done", "dim")]
    else:
        told = [("waiting", "dim"), (count, "dim")]
    yield _line([_name(branch, within, page, "bold"), *told], page)
    if branch.active or fold == _NOTHING:
        yield from _children(branch, fold, page)


def _stage(stage: StageState, branch: Branch, page: _Page) -> Iterator[Text]:
    """One line; a second one for the numbers of a running stage, where they have no room beside its bar."""
    name = _name(stage, branch, page, _STYLES[stage.state])
    if stage.state != "running":
        told = "waiting" if stage.state == "waiting" else stage.outcome
        numbers = [(on_one_line(text), "dim") for text in stage.shown_numbers]
        yield _line([name, (told, _STYLES[stage.state]), *numbers], page)
        return
    row = _running(stage, page)
    if (room := page.width - _length(row) - len(_GAP)) < cell_len(name[0]):  # the name gives way
        name = (shortened(name[0].rstrip(), max(4, room)), name[1])
    numbers = [(on_one_line(text), "") for text in stage.shown_numbers]
    if numbers and (curve := sparkline(stage.history, _SPARKS)):
        numbers[0] = (f"{numbers[0][0]} {curve}", "")
    if _length([name, *row, *numbers]) <= page.width:
        yield _line([name, *row, *numbers], page)
        return
    yield _line([name, *row], page)
    if numbers:
        yield _line([(f"{_indent(branch)}{_INDENT}{numbers[0][0]}", ""), *numbers[1:]], page)


def _running(stage: StageState, page: _Page) -> list[Part]:
    """Bar, step and time left."""
    if not stage.total:
        return [(f"running {duration(page.now - stage.began)}", "cyan")]
    done = round(max(0.0, min(1.0, stage.step / stage.total)) * page.bar)
    bar = [("━" * done + "─" * (page.bar - done), "cyan")] if page.bar else []
    left = stage.left(page.now)
    step = (f"{stage.step}/{stage.total}", "cyan")
    return [*bar, step, *([] if left is None else [(f"{duration(left)} left", "cyan")])]


def _name(child: StageState | Branch, branch: Branch, page: _Page, style: str) -> Part:
    """A name in its column."""
    indent = _indent(branch)
    return set_cell_size(indent + shortened(_title(child, branch), page.names - len(indent)), page.names), style


def _length(parts: Sequence[Part]) -> int:
    return sum(cell_len(text) for text, _ in parts) + len(_GAP) * (len(parts) - 1)


def _line(parts: Sequence[Part], page: _Page) -> Text:
    """The parts that have room, in order; the first one is cut where even it has none."""
    line = Text(no_wrap=True, overflow="crop")
    for at, (text, style) in enumerate(parts):
        gap = _GAP if at else ""
        room = page.width - line.cell_len - len(gap)
        if not at:
            line.append(set_cell_size(text, min(cell_len(text), room)), style)
        elif cell_len(text) <= room:
            line.append(gap + text, style)
    line.rstrip()
    return line
