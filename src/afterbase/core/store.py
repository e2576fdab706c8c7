"""The artifact store: content-addressed folders, written payload first, manifest last, then renamed into place.

    store/KEY/payload/...     what the stage made; its SHA-256 is the artifact's digest
    store/KEY/metrics.jsonl   what was measured; not part of the digest
    store/KEY/checkpoints/    model folders of the steps that the stage was asked to keep; not part of it either
    store/KEY/resume/         the last training state, where a longer run may go on from it (core/longer_run.py)
    store/KEY/manifest.json   stage, version, config, inputs, digest; a manifest means done
    store/.work/KEY/          an unfinished stage (core/artifacts/unfinished.py)

key = sha256(stage, version, config's *what* fields, input digests). A finished stage is never run again. An
interrupted one finds its `scratch` as it left it, and an empty payload: what a killed process wrote there may be half
a file. Nothing outside `.work` is ever half-written. Of two processes that want the same artifact on one machine, one
makes it and the other waits. Under `torchrun` all ranks share the folder: the first one does everything, helped by the
others where a stage says that it can use them; otherwise they wait for it.

Does not cover: independent runs on several machines that share a folder, and payload that was changed after it was
finished.
"""

import contextlib
import dataclasses
import fcntl
import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from afterbase.core import distributed as ranks
from afterbase.core.artifacts.atomic_writes import sync, write_atomically
from afterbase.core.artifacts.digests import folder_digest
from afterbase.core.artifacts.unfinished import begin, environment, publish
from afterbase.core.artifacts.workspace import Workspace
from afterbase.core.longer_run import Growth, Shorter, begun_with, shorter_run
from afterbase.core.progress import Progress, Silent, StageLine
from afterbase.core.temporary_folders import scratch_folder

_LAYOUT = 1


@dataclass(frozen=True)
class Artifact:
    """A finished stage: `payload` is its folder, `manifest` what is known of it. `planned` ones exist only on paper."""

    key: str
    digest: str
    name: str
    folder: Path
    manifest: Mapping[str, Any]
    planned: bool = False

    @property
    def payload(self) -> Path:
        return self.folder / "payload"

    def metrics(self) -> list[dict[str, Any]]:
        """Rows of metrics.jsonl, in order."""
        path = self.folder / "metrics.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


@dataclass(frozen=True)
class Cost:
    """What a stage is expected to take, in tokens trained, tokens generated, and answers verified.

    Of endpoints: requests, tokens of their prompts and, at most, of their answers, and money.
    """

    trained: int = 0
    generated: int = 0
    verified: int = 0
    requests: int = 0
    prompt_tokens: int = 0
    answer_tokens: int = 0
    money: float = 0.0


_FREE = Cost()


@dataclass(frozen=True)
class StageRecord:
    """One stage of this run: `cached` if it was there before the run began; `seconds` is what it took, when made.

    `version` and `what` are those of its key. `shorter`: the finished run that this one is a longer one of, and whether
    it goes on from there. `branch` leads to it in the tree that the screen shows.
    """

    name: str
    stage: str
    artifact: Artifact
    cached: bool
    seconds: float
    inputs: tuple[Artifact, ...]
    cost: Cost
    version: int = 0
    what: Mapping[str, Any] = field(default_factory=dict)
    shorter: Shorter | None = None
    branch: tuple[str, ...] = ()


@dataclass
class Store:
    """Artifacts below one folder. With `plan_only`, stages are recorded and nothing is made.

    >>> store = Store(Path("work"))
    >>> store.stages  # none made yet
    []
    """

    root: Path
    progress: Progress = field(default_factory=Silent)
    plan_only: bool = False
    label: str = ""
    branch: tuple[str, ...] = ()
    threads: int = 1
    stages: list["StageRecord"] = field(default_factory=list)
    ahead: set[str] = field(default_factory=set)
    """Keys that processes beside this one made for this run."""
    told: set[str] = field(default_factory=set)
    """Names of the stages that this run has shown: a program may come to a stage twice."""
    growth: Growth | None = None

    def labelled(self, label: str) -> "Store":
        """The same store, with `label` behind the name of every stage made through it."""
        return dataclasses.replace(self, label=label)

    def under(self, branch: str) -> "Store":
        """The same store, whose stages the screen shows below that branch of its tree."""
        return dataclasses.replace(self, branch=(*self.branch, branch))

    def growing(self, growth: Growth | None) -> "Store":
        """The same store, for a stage that goes on from a shorter run of itself where there is one."""
        return dataclasses.replace(self, growth=growth)

    def produce(
        self,
        name: str,
        stage: str,
        version: int,
        *,
        what: Mapping[str, Any],
        inputs: Mapping[str, Artifact],
        make: Callable[[Workspace], None],
        cost: Cost = _FREE,
        together: bool = False,
    ) -> Artifact:
        """The artifact of a stage: the finished one if it is there, otherwise made now.

        `name` is what a reader calls this node of the recipe; `stage` and `version` identify the code. With `together`
        all ranks of `torchrun` call `make`, otherwise the first one alone. Raises what `make` raises; its work folder
        then stays for the next try.
        """
        name += self.label
        key = stage_key(stage, version, what, {k: a.digest for k, a in inputs.items()})
        artifact, made = self.find(key, name), False
        identity = {"stage": stage, "version": version, "what": what, "cost": dataclasses.asdict(cost)}
        shorter = None if artifact is not None else self._shorter(identity, inputs, ranks.size() if together else 1)
        if artifact is None and self.plan_only:
            artifact = Artifact(key, f"planned:{key}", name, self.root / key, {}, planned=True)
        elif artifact is None:
            if ranks.rank() == 0:
                with self._locked(key):
                    artifact = self.find(key, name)  # made by another process, while this one waited?
                    made_before = artifact is not None or (self.root / ".work" / key / "manifest.json").is_file()
                    ranks.broadcast(f"{key} begins", "help" if together and not made_before else "wait")
                    if artifact is None:
                        artifact, made = self._make(key, name, identity, inputs, make, together, shorter), True
                ranks.broadcast(f"{key} ends", "")
            else:
                artifact, made = self._help(key, name, make), True
        cached = not (made or artifact.planned or key in self.ahead)
        if cached and name not in self.told:
            self.progress.skip(name, key[:12])
        self.told.add(name)
        seconds = artifact.manifest.get("seconds", 0.0)
        made_from = tuple(inputs.values())
        record = StageRecord(
            name, stage, artifact, cached, seconds, made_from, cost, version, what, shorter, self.branch
        )
        self.stages.append(record)
        return artifact

    def keys(self) -> set[str]:
        """Keys of all finished artifacts."""
        return {path.parent.name for path in self.root.glob("*/manifest.json")}

    def manifests(self) -> list[dict[str, Any]]:
        """Those of all finished artifacts, the newest first."""
        paths = sorted(self.root.glob("*/manifest.json"), key=lambda path: path.stat().st_mtime_ns, reverse=True)
        return [json.loads(path.read_text()) for path in paths]

    def find(self, key: str, name: str) -> Artifact | None:
        """The finished artifact of a key, or None."""
        path = self.root / key / "manifest.json"
        if not path.is_file():
            return None
        manifest = json.loads(path.read_text())
        return Artifact(key, manifest["digest"], name, self.root / key, manifest)

    def ancestors(self, key: str) -> tuple[list[Artifact], list[str]]:
        """What an artifact was made from, through all stages, each once; and the names of what is not there."""
        found: dict[str, Artifact] = {}
        missing: dict[str, None] = {}
        pending = [key]
        while pending:
            artifact = self.find(pending.pop(), "")
            for made_from in artifact.manifest["inputs"].values() if artifact is not None else ():
                other = self.find(made_from["key"], made_from["name"])
                if other is None:
                    missing[made_from["name"]] = None
                elif other.key not in found:
                    found[other.key] = other
                    pending.append(other.key)
        return list(found.values()), list(missing)

    def _make(
        self,
        key: str,
        name: str,
        identity: Mapping[str, Any],
        inputs: Mapping[str, Artifact],
        make: Callable[[Workspace], None],
        together: bool,
        shorter: Shorter | None,
    ) -> Artifact:
        work = self.root / ".work" / key
        if not (work / "manifest.json").is_file():  # otherwise killed between the manifest and the rename
            earlier = begin(work, environment(self.threads), shorter, self.root)
            begun = begun_with(work)
            started = time.monotonic()
            with (
                self.progress.stage(name) as line,
                ranks.doing(name),
                contextlib.nullcontext() if together else ranks.alone(),
            ):
                if together:
                    ranks.barrier()  # the work folder is there
                workspace = self._workspace(key, name, work, line)
                make(workspace)
            for path in [*(work / "payload").rglob("*"), work / "payload"]:
                sync(path)
            manifest = {
                **identity,
                "layout": _LAYOUT,
                "name": name,
                "key": key,
                "digest": folder_digest(work / "payload"),
                "inputs": {k: {"key": a.key, "digest": a.digest, "name": a.name} for k, a in inputs.items()},
                "seconds": time.monotonic() - started + earlier + (begun["seconds"] if begun else 0),
                "environment": environment(self.threads),
                "ranks": ranks.size() if together else 1,
                **({"goes_on_from": {"key": begun["key"], "step": begun["step"]}} if begun else {}),
                **self._resume(workspace),
            }
            write_atomically(work / "manifest.json", (json.dumps(manifest, indent=2, sort_keys=True) + "\n").encode())
        publish(work, self.root / key)
        artifact = self.find(key, name)
        assert artifact is not None
        return artifact

    def _shorter(self, identity: Mapping[str, Any], inputs: Mapping[str, Artifact], size: int) -> Shorter | None:
        if self.growth is None:
            return None
        digests = {name: made_from.digest for name, made_from in inputs.items()}
        wanted = {**identity, "inputs": digests, "environment": environment(self.threads), "ranks": size}
        return shorter_run(self.root, self.manifests(), self.growth, wanted)

    def _resume(self, workspace: Workspace) -> dict[str, Any]:
        """What a manifest says of the state that stays."""
        if self.growth is None or not workspace.state:
            return {}
        step = int(workspace.state[-1].removeprefix("step-"))
        return {"resume": {"checkpoints": list(workspace.state), "step": step, "device": self.growth.device()}}

    def _help(self, key: str, name: str, make: Callable[[Workspace], None]) -> Artifact:
        """What the other ranks do while the first one makes an artifact."""
        with ranks.doing(name):
            if ranks.wait_for(f"{key} begins") == "help":
                scratch = self.root / ".work" / key / "scratch"
                with scratch_folder() as own, Silent().stage(name) as line:
                    ranks.barrier()
                    make(dataclasses.replace(self._workspace(key, name, own, line), scratch=scratch))
            ranks.wait_for(f"{key} ends")
        artifact = self.find(key, name)
        assert artifact is not None, "all ranks share the store's folder"
        return artifact

    def _workspace(self, key: str, name: str, folder: Path, line: StageLine) -> Workspace:
        (folder / "payload").mkdir(exist_ok=True)
        return Workspace(
            payload=folder / "payload",
            scratch=folder / "scratch",
            checkpoints=folder / "checkpoints",
            board=self.root.parent / "tensorboard" / f"{name} {key[:8]}",
            _metrics=folder / "metrics.jsonl",
            _line=line,
            keeps_state=self.growth is not None and self.growth.keeps_state,
        )

    @contextmanager
    def _locked(self, key: str) -> Iterator[None]:
        locks = self.root / ".work"
        locks.mkdir(parents=True, exist_ok=True)
        with (locks / f"{key}.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def stage_key(stage: str, version: int, what: Mapping[str, Any], digests: Mapping[str, str]) -> str:
    """sha256 of all that determines the result, as 64 hexadecimal digits."""
    identity = {"layout": _LAYOUT, "stage": stage, "version": version, "what": what, "inputs": digests}
    return hashlib.sha256(json.dumps(identity, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
