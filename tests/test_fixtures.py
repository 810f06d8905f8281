"""The small copies of recorded truth: small indeed, and with every kind of case that tests read."""

from __future__ import annotations

import re
import tarfile
from pathlib import Path

ARCHIVES = sorted((Path(__file__).parent / "fixtures").glob("*/*.tar.xz"))

TOO_LARGE = {"llama_convert", "delta_v0"}
"""250 kB that do not shrink; tests/weights proves both conversions on generated weights"""


def test_the_copies_stay_under_three_megabytes() -> None:
    assert {"photos.tar.xz", "photos_broken.tar.xz", "minigpt4.tar.xz"} <= {archive.name for archive in ARCHIVES}
    recorded = [archive for archive in ARCHIVES if archive.parent.name in ("data", "oracles")]
    assert sum(archive.stat().st_size for archive in recorded) < 3_000_000


def test_every_case_that_a_parity_test_names_is_there() -> None:
    (archive,) = [archive for archive in ARCHIVES if archive.name == "minigpt4.tar.xz"]
    with tarfile.open(archive) as opened:
        held = {Path(name).stem for name in opened.getnames() if "/cases/" in name}
    tests = (Path(__file__).parent / "parity").glob("test_minigpt4_*.py")
    sources = "".join(test.read_text(encoding="utf-8") for test in tests)
    found = re.findall(r'(?:case_names|read_case|cases\("minigpt4",|_recorded\(oracles,) ?\(?"(\w+)\*?"', sources)
    named = set(found) - TOO_LARGE
    assert len(named) > 10
    assert not [name for name in named if not any(case.startswith(name) for case in held)]
