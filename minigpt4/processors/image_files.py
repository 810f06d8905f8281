"""Images that a person names by a path: what is no file is told at once, before anything heavy is imported."""

from __future__ import annotations

import re
from pathlib import Path

from minigpt4.common.errors import UserError
from minigpt4.common.files import shown
from minigpt4.records.images import ImageRef

ADDRESS = re.compile(r"(https?|ftp|s3|gs|hdfs|file):/+(.*)", re.IGNORECASE | re.DOTALL)
"""a path made one slash of two"""


def image_file(path: Path) -> ImageRef:
    """An image in a file.

    Raises:
        UserError: no such file, a web address, a folder, a named pipe; what is in it is not looked at.
    """
    try:
        return _file_ref(path)
    except OSError as error:  # a name that is too long, a folder that may not be entered
        what = f"cannot be read ({error.strerror})"
        raise UserError("image.unreadable", where=shown(path), what=what) from error


def _file_ref(path: Path) -> ImageRef:
    name = shown(path)
    if found := ADDRESS.match(name):
        raise UserError("image.address", where=f"{found[1]}://{found[2]}", what="is an address, which is not fetched",
                        fix="download the image and give its path")
    if path.is_dir():
        raise UserError("image.folder", where=name, what="is a folder",
                        fix="name an image in it, or describe all of them with minigpt4 caption")
    if not path.exists():
        fix = "backslashes do not separate folders here: write /" if "\\" in name else "check the path"
        raise UserError("image.missing", where=name, what="no such image", fix=fix)
    if not path.is_file():
        raise UserError("image.kind", where=name, what="is no regular file but a named pipe, socket or device",
                        fix="save the image to a file and give its path")
    return ImageRef(path=path, name=name)
