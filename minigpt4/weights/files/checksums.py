"""Checksums of weight folders: `SHA256SUMS` of ours and of many mirrors, `checklist.chk` (md5) of Meta's LLaMA.

Both are lines `digest  name`, so that `sha256sum -c SHA256SUMS` and `md5sum -c checklist.chk` check them too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath

from minigpt4.common.errors import UserError
from minigpt4.common.files import atomic_file

Progress = Callable[[int], None]
"""called with the number of bytes that were just done"""
BLOCK = 16 << 20
"""bytes read, written and hashed at once"""
SHA256SUMS = "SHA256SUMS"
CHECKLISTS = {SHA256SUMS: "sha256", "checklist.chk": "md5", "tokenizer_checklist.chk": "md5"}
"""file of checksums -> its algorithm"""


def nothing(num_bytes: int) -> None:
    """No progress is shown."""


def digest_of(path: Path, algorithm: str, on_bytes: Progress = nothing) -> str:
    """Digest of a file's bytes."""
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with open(path, "rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
            on_bytes(len(block))
    return digest.hexdigest()


def write_checksums(folder: Path, digests: Mapping[str, str]) -> None:
    """Write `SHA256SUMS` of a folder."""
    with atomic_file(folder / SHA256SUMS) as part:
        part.write_text("".join(f"{digest}  {name}\n" for name, digest in sorted(digests.items())), encoding="utf-8")


def read_checksums(path: Path) -> dict[str, str]:
    """name -> digest of a file of checksums.

    Raises:
        UserError: a line of another form.
    """
    digests = {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise UserError("weights.checklist", where=str(path), what="is not UTF-8 text",
                        fix="download this file again") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        digest, _, name = line.partition(" ")
        if not name.strip(" *") or not set(digest.lower()) <= set("0123456789abcdef"):
            raise UserError("weights.checklist", where=f"{path}:{number}",
                            what=f"'{line}' is not a line 'digest  name'",
                            fix="download this file again")
        name = name.strip(" *")
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise UserError("weights.checklist", where=f"{path}:{number}",
                            what=f"names '{name}', outside of its folder", fix="download this file again")
        digests[name] = digest.lower()
    return digests


def verify_checksums(path: Path, on_bytes: Progress = nothing) -> int:
    """Hold a folder against one of its files of checksums.

    Returns:
        number of files that were compared.

    Raises:
        UserError: a file is missing or has other bytes.
    """
    digests = read_checksums(path)
    missing = [name for name in digests if not (path.parent / name).exists()]
    if missing:
        raise UserError("weights.missing_file", where=str(path.parent), fix="download them",
                        what=f"{path.name} lists {', '.join(missing)}, which is missing")
    algorithm = CHECKLISTS.get(path.name, "sha256")
    wrong = [name for name, digest in digests.items() if digest_of(path.parent / name, algorithm, on_bytes) != digest]
    if wrong:
        raise UserError("weights.checksum", where=str(path.parent), fix="download or copy it again",
                        what=f"{', '.join(wrong)}: not matching the checksum in {path.name} ({algorithm})")
    return len(digests)


def verify_file(path: Path, on_bytes: Progress = nothing) -> bool:
    """Hold a single file against the `SHA256SUMS` beside it; False = that does not name it.

    Raises:
        UserError: it has other bytes.
    """
    listed = path.parent / SHA256SUMS
    digest = read_checksums(listed).get(path.name) if listed.exists() else None
    if digest is not None and digest_of(path, "sha256", on_bytes) != digest:
        raise UserError("weights.checksum", where=str(path), fix="download or copy it again",
                        what=f"does not match its checksum in {listed} (sha256)")
    return digest is not None
