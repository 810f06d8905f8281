"""Optional libraries: imported when asked for, and one sentence if they are missing."""

from __future__ import annotations

import importlib
from typing import Any

from minigpt4.common.errors import UserError


def import_extra(library: str, extra: str, *, where: str, without: str) -> Any:
    """An optional library.

    Args:
        library: its import name.
        extra: name of the extra in pyproject.toml that brings it.
        where: what asked for it: a key or a command.
        without: how to continue without it.

    Raises:
        UserError: it cannot be imported.
    """
    try:
        return importlib.import_module(library)
    except ImportError as error:
        raise UserError("extra.missing", where=where, what=f"cannot import {library} ({error})",
                        fix=f"pip install 'minigpt4[{extra}]', or continue without: {without}") from error
