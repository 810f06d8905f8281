"""Sizes and checksums of a finished bundle: written last, compared when it is loaded, resumed from or verified.

`manifest.json` lists every other file with its size (`files`), which each load compares; `SHA256SUMS` lists every file,
the manifest included, as `sha256sum -c SHA256SUMS` reads it. Bundles of earlier versions have neither.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from minigpt4.common.errors import UserError
from minigpt4.common.files import atomic_folder, write_json
from minigpt4.weights.bundles.licences import SOURCE
from minigpt4.weights.bundles.places import MANIFEST
from minigpt4.weights.files.checksums import SHA256SUMS, Progress, digest_of, nothing, read_checksums, write_checksums
from minigpt4.weights.files.readers import read_json

AGAIN = "take another copy of the bundle"
OWN_CHANGE = "minigpt4 weights verify --write-sums"


@contextmanager
def atomic_bundle(target: Path) -> Iterator[Path]:
    """Like `atomic_folder`, for a bundle that gets its sizes and checksums when the block ends well."""
    with atomic_folder(target) as folder:
        yield folder
        seal(folder)


def seal(folder: Path, on_bytes: Progress = nothing) -> int:
    """Write the sizes into the manifest, and `SHA256SUMS`; returns the number of files listed there."""
    names = [name for name in files_in(folder) if name not in (MANIFEST, SHA256SUMS)]
    if (folder / MANIFEST).exists():
        manifest = read_json(folder / MANIFEST)
        write_json(folder / MANIFEST, {**manifest, "files": {name: (folder / name).stat().st_size for name in names}})
        names.append(MANIFEST)
    digests = {name: digest_of(folder / name, "sha256", on_bytes) for name in names}
    write_checksums(folder, digests)
    return len(digests)


def files_in(folder: Path) -> list[str]:
    """Every file below a folder, with slashes, in order."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())


def compare_checksums(folder: Path, on_bytes: Progress = nothing) -> int:
    """Hold all files of a bundle against its checksums.

    Returns:
        number of files compared; 0 where the bundle has no checksums.

    Raises:
        UserError: naming each file that is missing, was added, or has other bytes.
    """
    listed = folder / SHA256SUMS
    if not listed.exists():
        if _says_it_has_sums(folder):
            raise UserError("bundle.checksums", where=str(folder), what=f"its {SHA256SUMS} is missing", fix=AGAIN)
        return 0
    digests = read_checksums(listed)
    if _as_written(digests) != listed.read_bytes():
        raise UserError("bundle.checksums", where=str(listed), what="is not as it was written", fix=AGAIN)
    there = {name for name in files_in(folder) if name in digests or not _is_of_the_way(name)} - {SHA256SUMS}
    faults = [f"{name} is missing" for name in sorted(digests.keys() - there)]
    faults += [f"{name} was added" for name in sorted(there - digests.keys())]
    faults += [f"{name} was changed" for name in sorted(digests.keys() & there)
               if digest_of(folder / name, "sha256", on_bytes) != digests[name]]
    if faults:
        raise UserError("bundle.checksums", where=str(folder), what=f"{'; '.join(faults)} (by {SHA256SUMS})",
                        fix=f"{AGAIN}, or, if you changed it yourself, accept it: {OWN_CHANGE} {folder}")
    return len(digests)


def _is_of_the_way(name: str) -> bool:
    """What a download or a clone leaves beside a bundle's own files."""
    return name == SOURCE or name == ".gitattributes" or name.startswith(".git/")


def _as_written(digests: dict[str, str]) -> bytes:
    return "".join(f"{digest}  {name}\n" for name, digest in sorted(digests.items())).encode()


def _says_it_has_sums(folder: Path) -> bool:
    content = read_json(folder / MANIFEST) if (folder / MANIFEST).exists() else None
    return isinstance(content, dict) and bool(content.get("files"))
