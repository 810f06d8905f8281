"""What img2dataset writes beside its tars: how many rows of the list became images, and why the others did not.

`00000_stats.json` beside `00000.tar` has the counts (and `00000.parquet` every row, which is not read here).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from minigpt4.common.files import shown

REASONS = 20
"""kept of the reasons, the most frequent first: every web server words its own"""
LISTED = 3
"""reasons that a line names"""
_DONE = "success"


@dataclass(frozen=True)
class Downloads:
    """Rows of the lists behind some shards."""

    rows: int
    failed: int
    reasons: Mapping[str, int]
    """why they failed, with counts"""
    unknown: int
    """shards without a report that can be read: their download did not end, or another program wrote them"""

    def line(self) -> str:
        """The same in words."""
        share = 100 * self.failed / self.rows if self.rows else 0.0
        reasons = ", ".join(f"{count:,} {shown(reason)}" for reason, count in list(self.reasons.items())[:LISTED])
        unknown = f"; {self.unknown} shards have no report" if self.unknown else ""
        return f"downloads: {self.failed:,} of {self.rows:,} rows failed ({share:.3g} %{': ' if reasons else ''}" \
               f"{reasons}){unknown}"


def downloads_of(shards: Iterable[Path]) -> Downloads | None:
    """What became of the rows; None where no shard has a report."""
    rows, failed, unknown, known = 0, 0, 0, 0
    reasons: Counter[str] = Counter()
    for shard in shards:
        statuses = _from_stats(shard)
        if statuses is None:
            unknown += 1
            continue
        known += 1
        rows += statuses.total()
        failed += statuses.total() - statuses.pop(_DONE, 0)
        reasons += statuses
    return Downloads(rows, failed, dict(reasons.most_common(REASONS)), unknown) if known else None


def _from_stats(shard: Path) -> Counter[str] | None:
    try:
        stats = json.loads(shard.with_name(f"{shard.stem}_stats.json").read_text(encoding="utf-8"))
        statuses = Counter({str(status): int(count) for status, count in stats["status_dict"].items()})
        statuses[_DONE] = int(stats["successes"])
        return statuses
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # absent, cut, or of another program
        return None
