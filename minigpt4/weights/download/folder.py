"""Known weights from the network into a folder: sources in their order, checked, whole or absent.

A file gets its final name only when it has all its bytes and, if one is stated, its checksum. Beside it
stand `SHA256SUMS` and where it came from (`FILE.source.json`; in a folder `source.json`). Interrupted at any point, the
same call continues.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from minigpt4.common.errors import UserError
from minigpt4.common.files import write_json
from minigpt4.weights.download.fetch import (
    PATIENT,
    UNAVAILABLE,
    Patience,
    RemoteFile,
    fetch,
    forget,
    partial_of,
    unavailable,
)
from minigpt4.weights.download.hub import Listing, list_repository, page_of, url_of
from minigpt4.weights.download.known import KnownFile, KnownWeights, Source
from minigpt4.weights.files.checksums import SHA256SUMS, Progress, digest_of, nothing, read_checksums, write_checksums
from minigpt4.weights.files.disk import check_space, move_folder

logger = logging.getLogger(__name__)

FOLDER = Path("weights")
"""where downloads go, and where they are looked for, unless another folder is named"""
SOURCE = "source.json"

Bar = Callable[[str, int | None], AbstractContextManager[Progress]]
"""(words, bytes in all) -> shows progress"""


@dataclass(frozen=True)
class Downloaded:
    """What was downloaded: where it is, its source address, its licence (empty = none stated)."""

    place: Path
    url: str
    licence: str


@dataclass(frozen=True)
class Wanted:
    """A file or folder to be fetched by hand.

    Args:
        place: its target path.
        urls: where it is available, in order of preference.
        size: in bytes, where it is known.
        is_here: it is there, with its size if that is known.
    """

    place: Path
    urls: tuple[str, ...]
    size: int | None
    is_here: bool


@contextmanager
def no_bar(words: str, total: int | None) -> Iterator[Progress]:
    """No progress is shown."""
    yield nothing


def wanted_files(known: KnownWeights, folder: Path) -> list[Wanted]:
    """What `known` consists of and what of it is in `folder`; without network access."""
    place = known.place(folder)
    if known.file:
        return [_wanted(place, known.file.size, known.file.name, known.sources)]
    if known.files:
        return [_wanted(place / file.name, file.size, file.name, known.sources) for file in known.files]
    pages = tuple(page_of(source, source.revision) for source in known.sources)
    return [Wanted(place, pages, known.num_bytes, place.is_dir() and any(place.iterdir()))]


def _wanted(place: Path, size: int | None, name: str, sources: tuple[Source, ...]) -> Wanted:
    urls = tuple(source.url or url_of(source, source.file or name, source.revision) for source in sources)
    return Wanted(place, urls, size, place.is_file() and size in (None, place.stat().st_size))


def download(known: KnownWeights, folder: Path, *, bar: Bar = no_bar, patience: Patience = PATIENT) -> Downloaded:
    """Bring weights into `folder`, or finish what was begun.

    Args:
        known: what to bring.
        folder: the target folder.
        bar: shows bytes.
        patience: with dropped connections.

    Raises:
        UserError: it already exists; no source gives it; the disk is too small.
    """
    place = known.place(folder)
    if place.exists():
        raise UserError("weights.target_taken", where=str(place), what="already exists and is incomplete",
                        fix="delete or rename it, or give another folder; --offline lists what is missing")
    refusals = []
    for source in known.sources:
        try:
            listing = _listing(known, source)
            (_bring_file if known.file else _bring_folder)(known, listing, place, bar, patience)
            return Downloaded(place, listing.page, listing.licence)
        except UserError as error:
            if error.code != UNAVAILABLE:
                raise
            logger.warning("%s", error)
            refusals.append(str(error))
    raise UserError("weights.download", where=known.name, fix=known.by_hand or f"fetch it by hand: minigpt4 weights "
                    f"download {known.name} --offline", what="; ".join(refusals) or "not available anywhere")


def _listing(known: KnownWeights, source: Source) -> Listing:
    """What a source gives, under our names and with the sizes and checksums that our own table states."""
    if source.url:
        assert known.file is not None, "a web address gives one file"
        return Listing(source.url, known.licence, (RemoteFile(known.file.name, source.url, known.file.size,
                                                              known.file.sha256),))
    files = (known.file,) if known.file else known.files
    listing = list_repository(source, [source.file] if source.file else [file.name for file in files])
    stated = {source.file or file.name: file for file in files}
    return replace(listing, licence=known.licence or listing.licence, files=tuple(
        _as_stated(remote, stated[remote.name], listing.page) if remote.name in stated else remote
        for remote in listing.files
    ))


def _as_stated(remote: RemoteFile, ours: KnownFile, page: str) -> RemoteFile:
    for what, there, here in (("bytes", remote.size, ours.size), ("sha256", remote.sha256, ours.sha256)):
        if None not in (there, here) and there != here:
            raise unavailable(page, f"has another {remote.name}: {there} instead of {here} ({what})")
    return replace(remote, name=ours.name, size=ours.size or remote.size, sha256=ours.sha256 or remote.sha256)


def _bring_file(known: KnownWeights, listing: Listing, place: Path, bar: Bar, patience: Patience) -> None:
    (remote,) = listing.files
    _check_space(place.parent, {place: remote})
    with bar(remote.name, remote.size) as on_bytes:
        digest = _whole_partial(remote, place, on_bytes, patience)
    partial = partial_of(place)
    files = {place.name: _about(partial, digest)}
    write_json(place.with_name(f"{place.name}.{SOURCE}"), _provenance(known, listing, files))
    write_checksums(place.parent, {**_checksums(place.parent), place.name: digest})
    _name(partial, place)


def _bring_folder(known: KnownWeights, listing: Listing, place: Path, bar: Bar, patience: Patience) -> None:
    begun = place.with_name(f"{place.name}.partial")
    _make_folder(begun)
    digests = _checksums(begun)
    places = {_inside(begun, remote.name, listing.page): remote for remote in listing.files}
    kept = {path for path, remote in places.items() if _is_kept(path, remote, digests)}
    _check_space(begun, {path: remote for path, remote in places.items() if path not in kept})
    with bar(place.name, sum(remote.size or 0 for remote in listing.files)) as on_bytes:
        for path, remote in places.items():
            if path in kept:
                on_bytes(path.stat().st_size)
                continue
            digests[remote.name] = _whole_partial(remote, path, on_bytes, patience)
            _name(partial_of(path), path)
            write_checksums(begun, digests)
    names = {remote.name: path for path, remote in places.items()}
    write_checksums(begun, {name: digests[name] for name in names})
    files = {name: _about(path, digests[name]) for name, path in names.items()}
    write_json(begun / SOURCE, _provenance(known, listing, files))
    move_folder(begun, place)


def _whole_partial(remote: RemoteFile, place: Path, on_bytes: Progress, patience: Patience) -> str:
    """All bytes into the partial file beside `place`, on the disk and as promised -> their sha256."""
    partial = partial_of(place)
    _make_folder(place.parent)
    fetch(remote, partial, on_bytes=on_bytes, patience=patience)
    with open(partial, "rb+") as file:
        os.fsync(file.fileno())
    digest = digest_of(partial, "sha256")
    if remote.sha256 is not None and digest != remote.sha256:
        forget(partial)
        raise unavailable(remote.url, f"gave other bytes than {remote.name} has: sha256 {digest} instead of "
                                      f"{remote.sha256}", "what came was deleted")
    return digest


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError("file.write", where=str(folder), what=f"cannot be created ({error.strerror})",
                        fix="give another folder") from error


def _name(partial: Path, place: Path) -> None:
    """A file that is whole gets its final name."""
    try:
        os.replace(partial, place)
    except OSError as error:
        raise UserError("file.write", where=str(place), what=f"cannot be created ({error.strerror})",
                        fix=f"everything is in {partial}: rename it yourself") from error
    forget(partial)


def _inside(folder: Path, name: str, page: str) -> Path:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name:
        raise unavailable(page, f"names a file outside its folder: '{name}'")
    return folder / path


def _is_kept(path: Path, remote: RemoteFile, digests: Mapping[str, str]) -> bool:
    """True for a file that an earlier try finished and that is still the same there (small ones come again)."""
    return (remote.sha256 is not None and digests.get(remote.name) == remote.sha256 and path.is_file()
            and path.stat().st_size == remote.size)


def _check_space(folder: Path, missing: Mapping[Path, RemoteFile]) -> None:
    have = sum(partial_of(path).stat().st_size for path in missing if partial_of(path).exists())
    check_space(folder, sum(remote.size or 0 for remote in missing.values()) - have)


def _checksums(folder: Path) -> dict[str, str]:
    """Those of `SHA256SUMS` whose files are still there."""
    path = folder / SHA256SUMS
    found = read_checksums(path) if path.exists() else {}
    return {name: digest for name, digest in found.items() if (folder / name).is_file()}


def _about(path: Path, digest: str) -> dict[str, Any]:
    return {"size": path.stat().st_size, "sha256": digest}


def _provenance(known: KnownWeights, listing: Listing, files: Mapping[str, Any]) -> dict[str, Any]:
    """Content of `source.json`."""
    return {"name": known.name, "url": listing.page, "licence": listing.licence, "files": dict(files)}
