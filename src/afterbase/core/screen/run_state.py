"""What is known of a run while it is shown: its stages as a tree, and about how long it will still take."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from afterbase.core.screen.stage_state import StageState


@dataclass(frozen=True)
class PlannedStage:
    """A stage before it runs.

    `branch` leads to it in the tree; `kind` tells stages of one kind; `seconds` is what it may take, and `measured`
    whether that comes from others of its kind. `beside`: several such stages run at the same time.
    """

    name: str
    kind: str = ""
    branch: tuple[str, ...] = ()
    seconds: float = 0.0
    measured: bool = False
    cached: bool = False
    beside: bool = False


@dataclass
class Branch:
    """A part of the tree, below the branches of `path`: stages and further branches, in the order of the run."""

    path: tuple[str, ...] = ()
    children: "list[StageState | Branch]" = field(default_factory=list)

    def stages(self) -> Iterator[StageState]:
        """All stages in it."""
        for child in self.children:
            if isinstance(child, Branch):
                yield from child.stages()
            else:
                yield child

    @property
    def active(self) -> bool:
        """Whether something in it is to be looked at: it runs, or was stopped."""
        return any(stage.state in ("running", "stopped") for stage in self.stages())


class RunState:
    """A run: its name, where it computes, its plan, and the stages so far."""

    def __init__(
        self, title: str, place: str = "", planned: Sequence[PlannedStage] = (), *, processes: int = 1
    ) -> None:
        self.title, self.place = title, place
        self.began = 0.0
        self._plan: dict[str, PlannedStage] = {}
        for stage in planned:
            self._plan.setdefault(stage.name, stage)
        self._processes = processes
        self.stages = {
            name: StageState(name, "cached" if stage.cached else "waiting") for name, stage in self._plan.items()
        }

    def see(self, stage: StageState) -> None:
        """Take what is new of a stage; one that ran is not said to be cached, where the program comes to it later."""
        known = self.stages.get(stage.name)
        if known is None or not (stage.state == "cached" and known.ended):
            self.stages[stage.name] = stage

    def stop(self, now: float) -> None:
        """Nothing runs any more."""
        for stage in self.stages.values():
            if stage.state == "running":
                stage.state, stage.at = "stopped", now

    def tree(self) -> Branch:
        """All stages, below the branches of the plan; what was not planned stands at the end."""
        root = Branch()
        branches: dict[tuple[str, ...], Branch] = {(): root}
        for stage in self.stages.values():
            planned = self._plan.get(stage.name)
            path = planned.branch if planned is not None else ()
            for depth in range(1, len(path) + 1):
                if path[:depth] not in branches:
                    branches[path[:depth]] = Branch(path[:depth])
                    branches[path[: depth - 1]].children.append(branches[path[:depth]])
            branches[path].children.append(stage)
        return root

    def left(self, now: float) -> float | None:
        """Seconds until the end, from the plan and from what took longer or shorter than planned; None if not known."""
        factors = self._factors(now)
        alone = shared = longest = 0.0
        for name, planned in self._plan.items():
            stage = self.stages[name]
            if stage.ended:
                continue
            factor = factors.get(planned.kind, 1.0 if planned.measured else factors.get("", 0.0))
            if not factor and planned.seconds:
                return None
            known = stage.left(now)
            spent = now - stage.began if stage.state == "running" else 0.0
            seconds = max(0.0, planned.seconds * factor - spent) if known is None else known
            if planned.beside:
                shared, longest = shared + seconds, max(longest, seconds)
            else:
                alone += seconds
        return alone + max(longest, shared / self._processes)

    def _factors(self, now: float) -> dict[str, float]:
        """By how much stages of each kind took longer than planned; under the empty name, all that were estimates."""
        took: dict[str, float] = defaultdict(float)
        expected: dict[str, float] = defaultdict(float)
        for name, planned in self._plan.items():
            stage = self.stages[name]
            left = stage.left(now)
            if planned.cached or not planned.seconds or not (stage.state == "done" or left is not None):
                continue
            seconds = stage.seconds if left is None else now - stage.began + left
            for kind in (planned.kind, *([] if planned.measured else [""])):
                took[kind] += seconds
                expected[kind] += planned.seconds
        return {kind: took[kind] / expected[kind] for kind in took}
