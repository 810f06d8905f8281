"""What a repository of the Hugging Face hub holds, by huggingface_hub: `HF_ENDPOINT`, `HF_TOKEN` and logins count.

Only the list comes from there, with sizes, checksums and the commit; the bytes come by `fetch`, because
huggingface_hub begins a file again after a kill (its temporary files are unique to a process).
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, TypeVar

from minigpt4.common.errors import UserError, printable
from minigpt4.weights.download.fetch import RemoteFile, unavailable

if TYPE_CHECKING:
    from huggingface_hub.hf_api import RepoFile

    from minigpt4.weights.download.known import Source

OTHER_FORMS = (".bin", ".pth", ".pt", ".h5", ".msgpack", ".ot", ".gguf", ".onnx")
"""files of weights that are not wanted where the same folder holds safetensors"""
NOT_NEEDED = (".gitattributes", "SHA256SUMS")
"""git's own file, and sums, which are written here of what came"""
TRUE = ("1", "ON", "YES", "TRUE")
MOST_FILES = 20_000
"""of a repository of weights"""
LONGEST_LICENCE = 100
"""characters of it that are shown"""
ANSWER_SECONDS = 45.0
"""until the list of a repository's files must be whole"""

T = TypeVar("T")


@dataclass(frozen=True)
class Listing:
    """The files of one source.

    Args:
        page: a page for people, of exactly this commit.
        licence: as the source states it; empty = it states none.
        files: what has to be fetched.
    """

    page: str
    licence: str
    files: tuple[RemoteFile, ...]


def is_offline() -> bool:
    """True where `HF_HUB_OFFLINE` forbids the network."""
    return any(os.environ.get(name, "").upper() in TRUE for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"))


def url_of(source: Source, name: str, revision: str) -> str:
    """Address of one file of a repository."""
    from huggingface_hub import hf_hub_url

    return hf_hub_url(source.hub, name, repo_type=source.repo_type, revision=revision)


def page_of(source: Source, revision: str) -> str:
    """Address of a repository, for people."""
    from huggingface_hub.constants import ENDPOINT

    kind = {"model": "", "dataset": "datasets/", "space": "spaces/"}[source.repo_type]
    return f"{ENDPOINT}/{kind}{source.hub}/tree/{revision}"


def list_repository(source: Source, wanted: Sequence[str]) -> Listing:
    """Ask the hub what a repository holds.

    Args:
        source: repository and revision.
        wanted: paths in it; empty = all that a model needs.

    Raises:
        UserError: code `weights.source`: unknown, closed, not reached, or without one of the wanted files.
    """
    from huggingface_hub import get_token

    commit, licence, found = _within(ANSWER_SECONDS, lambda: _ask(source), source)
    missing = [name for name in wanted if name not in found]
    if missing:
        raise unavailable(page_of(source, source.revision), f"has no {', '.join(missing)}")
    names = wanted or _needed(list(found))
    token = get_token()
    files = tuple(_remote(found[name], url_of(source, name, commit), token) for name in names)
    return Listing(page_of(source, commit), licence, files)


def _ask(source: Source) -> tuple[str, str, dict[str, RepoFile]]:
    """(commit, licence, path -> file) of a repository."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled
    from huggingface_hub.hf_api import RepoFile
    from huggingface_hub.repocard_data import CardData

    http_error: Any = HfHubHTTPError.__bases__[0]  # of the client that this huggingface_hub uses
    try:
        api = HfApi()
        about = api.repo_info(source.hub, repo_type=source.repo_type, revision=source.revision, timeout=30)
        entries = api.list_repo_tree(source.hub, repo_type=source.repo_type, revision=about.sha, recursive=True)
        found = {entry.path: entry for entry in islice(entries, MOST_FILES + 1) if isinstance(entry, RepoFile)}
    except (http_error, HFValidationError, OfflineModeIsEnabled) as error:
        raise _refusal(source, error) from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise unavailable(page_of(source, source.revision), "gives an answer of another shape than the hub's "
                          f"({type(error).__name__})", "HF_ENDPOINT may name a mirror of the hub") from error
    if len(found) > MOST_FILES:
        raise unavailable(page_of(source, source.revision), f"has more than {MOST_FILES} files")
    for file in found.values():
        _refuse_odd(file, source)
    card = getattr(about, "card_data", None)
    licence = card.get("license") if isinstance(card, CardData) else ""
    if not about.sha:
        raise unavailable(page_of(source, source.revision), "names no commit")
    return str(about.sha), printable(licence)[:LONGEST_LICENCE] if isinstance(licence, str) else "", found


def _refuse_odd(file: RepoFile, source: Source) -> None:
    """Raise `UserError` for a file whose name leaves the folder, or whose size or checksum is none."""
    name, page = file.path, page_of(source, source.revision)
    path = PurePosixPath(name) if isinstance(name, str) else PurePosixPath()
    if not path.parts or path.is_absolute() or ".." in path.parts or set(name) & set("\\:") or not _is_plain(name):
        raise unavailable(page, f"names a file that is not written here: {printable(str(name))[:100]!r}")
    sha256 = file.lfs.sha256 if file.lfs is not None else None
    if not isinstance(file.size, int) or file.size < 0 or (
            sha256 is not None and not re.fullmatch("[0-9a-f]{64}", str(sha256))):
        raise unavailable(page, f"states an impossible size or checksum of {name}")


def _is_plain(name: str) -> bool:
    return printable(name) == name and not set(name) & set("\n\t")


def _within(seconds: float, deed: Callable[[], T], source: Source) -> T:
    """What `deed` gives, if it does so in time: a list of pages that never ends is not waited for."""
    done: list[T] = []
    failed: list[BaseException] = []

    def work() -> None:
        try:
            done.append(deed())
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(seconds)
    if failed:
        raise failed[0]
    if not done:
        raise unavailable(page_of(source, source.revision), f"did not answer within {seconds:.0f} s")
    return done[0]


def _refusal(source: Source, error: Exception) -> UserError:
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    page = page_of(source, source.revision)
    if isinstance(error, GatedRepoError):
        return unavailable(page, "is open only to those who accepted its licence",
                           "accept it on that page, then set HF_TOKEN to a token of yours (or run: hf auth login)")
    if isinstance(error, RevisionNotFoundError):
        return unavailable(page, f"has no revision '{source.revision}'")
    if isinstance(error, RepositoryNotFoundError):
        return unavailable(page, "does not exist, or is private", "for a private one set HF_TOKEN")
    status = getattr(getattr(error, "response", None), "status_code", None)
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    what = f"answers {status}" if status else f"cannot be reached ({reason})"
    return unavailable(page, what, "HF_ENDPOINT may name a mirror of the hub")


def _needed(names: Sequence[str]) -> list[str]:
    """All but `NOT_NEEDED`, and weights in one form only: safetensors where there are any."""
    has_safetensors = {os.path.dirname(name) for name in names if name.endswith(".safetensors")}
    return [
        name for name in names
        if name not in NOT_NEEDED
        and not (name.endswith((*OTHER_FORMS, ".bin.index.json")) and os.path.dirname(name) in has_safetensors)
    ]


def _remote(file: RepoFile, url: str, token: str | None) -> RemoteFile:
    sha256 = file.lfs.sha256 if file.lfs is not None else None
    return RemoteFile(file.path, url, size=file.size, sha256=sha256, token=token)
