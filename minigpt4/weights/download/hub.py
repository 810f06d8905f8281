"""What a repository of the Hugging Face hub holds, by huggingface_hub: `HF_ENDPOINT`, `HF_TOKEN` and logins count.

Only the list comes from there, with sizes, checksums and the commit; the bytes come by `fetch`, because
huggingface_hub begins a file again after a kill (its temporary files are unique to a process).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from minigpt4.common.errors import UserError
from minigpt4.weights.download.fetch import RemoteFile, unavailable

if TYPE_CHECKING:
    from huggingface_hub.hf_api import RepoFile

    from minigpt4.weights.download.known import Source

OTHER_FORMS = (".bin", ".pth", ".pt", ".h5", ".msgpack", ".ot", ".gguf", ".onnx")
"""files of weights that are not wanted where the same folder holds safetensors"""
TRUE = ("1", "ON", "YES", "TRUE")


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

    commit, licence, found = _ask(source)
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

    http_error: Any = HfHubHTTPError.__bases__[0]  # of the client that this huggingface_hub uses
    try:
        api = HfApi()
        about = api.repo_info(source.hub, repo_type=source.repo_type, revision=source.revision, timeout=30)
        entries = api.list_repo_tree(source.hub, repo_type=source.repo_type, revision=about.sha, recursive=True)
        found = {entry.path: entry for entry in entries if isinstance(entry, RepoFile)}
    except (http_error, HFValidationError, OfflineModeIsEnabled) as error:
        raise _refusal(source, error) from error
    card = getattr(about, "card_data", None)
    return str(about.sha), str((card or {}).get("license") or ""), found


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
    """All but git's own file, and weights in one form only: safetensors where there are any."""
    has_safetensors = {os.path.dirname(name) for name in names if name.endswith(".safetensors")}
    return [
        name for name in names
        if name != ".gitattributes"
        and not (name.endswith((*OTHER_FORMS, ".bin.index.json")) and os.path.dirname(name) in has_safetensors)
    ]


def _remote(file: RepoFile, url: str, token: str | None) -> RemoteFile:
    sha256 = file.lfs.sha256 if file.lfs is not None else None
    return RemoteFile(file.path, url, size=file.size, sha256=sha256, token=token)
