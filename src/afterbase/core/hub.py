"""Hugging Face's hub: what a user names as `hub:ORG/NAME` comes into the hub's own cache, and a model folder goes up.

Nothing else is ever looked up there (`stay_offline`). Tokens are those of huggingface_hub: HF_TOKEN, or the file that
`hf auth login` writes. HF_ENDPOINT names another hub.
"""

import functools
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, NamedTuple

from afterbase.core.errors import UserError

PREFIX = "hub:"
_NAME = re.compile(r"hub:(?P<repo>[\w.-]+/[\w.-]+)(?:/(?P<path>[^@]+))?(?:@(?P<revision>.+))?")
_OFFLINE, _BY_DEFAULT = "HF_HUB_OFFLINE", "AFTERBASE_OFFLINE_BY_DEFAULT"
_MODEL = (
    "*.json", "*.safetensors", "*.model", "*.tiktoken", "*.txt", "*.jinja", "additional_chat_templates/*", "README.md",
)  # fmt: skip
_PICKLED = ("pytorch_model*.bin", "pytorch_model*.json")
_LOG_IN = "log in with `hf auth login`, or set HF_TOKEN"


class HubName(NamedTuple):
    """A repository, a file, folder or pattern in it, and a branch, tag or commit; None is all of it, and `main`."""

    repo: str
    path: str | None
    revision: str | None


def stay_offline() -> None:
    """Keep all libraries from looking anything up; what a user names as `hub:` is looked up all the same.

    A HF_HUB_OFFLINE of the user's own stands for both. Call it before any of them is imported.
    """
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    if _OFFLINE not in os.environ:
        os.environ |= {_OFFLINE: "1", _BY_DEFAULT: "1"}


def hub_name(text: str) -> HubName:
    """The parts of `hub:ORG/NAME[/PATH][@REVISION]`. UserError for another text.

    >>> hub_name("hub:deepseek-ai/DeepSeek-V3-Base@main").repo
    'deepseek-ai/DeepSeek-V3-Base'
    """
    found = _NAME.fullmatch(text)
    if found is None or ".." in text:
        raise UserError(
            "the hub's models and sets are named hub:ORG/NAME, with @REVISION for one of their versions",
            got=f"`{text}`",
            remedy="write it as hub:ORG/NAME",
        )
    return HubName(**found.groupdict())


def download_model(text: str) -> Path:
    """The folder of a model in the hub's cache, weights as safetensors, or as .bin where there are none.

    Raises UserError for a model that is not there or may not be read, and without a network if the cache lacks it.
    """
    name = hub_name(text)
    if name.path is not None:
        raise UserError("a model is a whole repository of the hub", got=f"`{text}`", remedy=f"name {PREFIX}{name.repo}")
    folder = _download(name, "model", _MODEL)
    if not any(folder.glob("*.safetensors")):
        _download(name, "model", _PICKLED)
    return folder


def download_rows(text: str) -> Path:
    """The folder in the hub's cache that holds a data set's files, or the file or folder in it that `text` names."""
    name = hub_name(text)
    only = None if name.path is None else (name.path, f"{name.path}/*")
    folder = _download(name, "dataset", only)
    return folder if name.path is None else folder / name.path


@functools.cache  # a branch may move while a run goes on
def _download(name: HubName, kind: Literal["model", "dataset"], only: Sequence[str] | None) -> Path:
    from huggingface_hub import snapshot_download

    with _online(), _told(f"{kind} {name.repo}" + (f" at {name.revision}" if name.revision else "")):
        return Path(
            snapshot_download(
                name.repo,
                repo_type=kind,
                revision=name.revision,
                allow_patterns=None if only is None else list(only),
                library_name="afterbase",
            )
        )


def refuse_upload(repo: str) -> None:
    """UserError unless this user may write there, found out before anything is computed."""
    from huggingface_hub import HfApi, get_token

    hub_name(PREFIX + repo)
    if get_token() is None:
        raise UserError("the hub takes models from those who are logged in", got="no token", remedy=_LOG_IN)
    with _online(), _told(f"model {repo}"):
        HfApi(library_name="afterbase").whoami()


def upload_model(folder: Path, repo: str, *, public: bool) -> str:
    """The folder as a model of the hub, made there if it is new; its address. One commit: all of it or nothing.

    Raises UserError where it cannot be written.
    """
    from huggingface_hub import HfApi

    with _online(), _told(f"model {repo}"):
        api = HfApi(library_name="afterbase")
        made = api.create_repo(repo, private=not public, exist_ok=True)
        if not public and not api.model_info(repo).private:
            raise UserError(
                "a model is private unless it is asked to be public",
                got=f"{repo}, which is there already and public",
                remedy="say --public, or name another",
            )
        api.upload_folder(repo_id=repo, folder_path=folder, commit_message="Upload a model made with afterbase")
        return str(made)


@contextmanager
def _online() -> Iterator[None]:
    """The hub may be asked here, unless the user has forbidden it; bars of progress are for terminals."""
    from huggingface_hub import constants
    from huggingface_hub.utils import disable_progress_bars

    if not sys.stderr.isatty():
        disable_progress_bars()
    before = constants.HF_HUB_OFFLINE
    if _BY_DEFAULT in os.environ:
        constants.HF_HUB_OFFLINE = False
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


@contextmanager
def _told(what: str) -> Iterator[None]:
    """What the hub refuses, in our own words."""
    from httpx2 import HTTPError  # what huggingface_hub asks with, and whose errors it lets through
    from huggingface_hub import errors

    try:
        yield
    except errors.GatedRepoError as error:
        remedy = f"accept its conditions on its page of the hub, and {_LOG_IN}"
        raise UserError(f"this user may read the {what}", got="conditions not accepted", remedy=remedy) from error
    except errors.RevisionNotFoundError as error:
        raise UserError(f"the hub has the {what}", got="no such branch, tag or commit", remedy="name one") from error
    except errors.RepositoryNotFoundError as error:
        remedy = f"correct the name; if it is private, {_LOG_IN}"
        raise UserError(f"the hub has the {what}", got="none, or one of other people alone", remedy=remedy) from error
    except errors.HFValidationError as error:
        raise UserError("a name is one that the hub knows", got=str(error), remedy="write ORG/NAME") from error
    except (HTTPError, OSError) as error:
        if getattr(error, "errno", None) is not None and not isinstance(error, ConnectionError):
            raise  # of this machine's disk
        raise _unreachable(what, error) from error


def _unreachable(what: str, error: Exception) -> UserError:
    """A status that the hub gives, or that it cannot be asked."""
    response = getattr(error, "response", None) or getattr(error.__cause__, "response", None)
    if response is not None:
        remedy = _LOG_IN if response.status_code in (401, 403) else "try again later"
        return UserError(f"the hub gives and takes the {what}", got=f"status {response.status_code}", remedy=remedy)
    forbidden = os.environ.get(_OFFLINE) == "1" and _BY_DEFAULT not in os.environ
    return UserError(
        f"the hub can be reached for the {what}",
        got="HF_HUB_OFFLINE=1, and it is not in the cache" if forbidden else "no network, or no answer",
        remedy="name a folder that holds it, or " + ("take HF_HUB_OFFLINE away" if forbidden else "try again later"),
    )
