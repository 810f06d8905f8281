"""Shards at an address, opened as a stream of bytes: the web, the hub, object stores, and pipes.

Nothing is asked of any other host than the one that was named: a web server that sends elsewhere is told, not followed
(the hub's files, `hf://`, come by huggingface_hub, which knows the hub's own stores). A connection that breaks is
opened again where it broke. `s3://`, `gs://` and `hf://` are fsspec's, with the credentials and the endpoint that its
libraries find in the environment.
"""

from __future__ import annotations

import http.client
import io
import logging
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import IO, BinaryIO

from minigpt4.common.errors import UserError

log = logging.getLogger(__name__)

TIMEOUT = 60.0
"""seconds without an answer"""
TRIES = 5
"""in a row without a byte, before a shard is given up"""
WAIT = 1.0
"""seconds before the second try; each further one waits twice as long"""
CHUNK = 1 << 20

_LIBRARIES = {"s3": "s3fs", "gs": "gcsfs"}
_LATER = frozenset((408, 425, 429, 500, 502, 503, 504))
"""answers of a web server that another try may change"""
_BROKEN = (OSError, http.client.HTTPException)


def check_libraries(url: str) -> None:
    """Raise `UserError` where what reads such addresses is not installed."""
    scheme = url.partition("://")[0]
    if "://" not in url or scheme in ("http", "https") or url.startswith("pipe:"):
        return
    import fsspec

    try:
        fsspec.get_filesystem_class(scheme)
    except (ImportError, ValueError) as error:
        library = _LIBRARIES.get(scheme, scheme)
        raise UserError("extra.missing", where=url, what=f"cannot be read ({error})",
                        fix=f"pip install 'minigpt4[remote]' (or {library}), or name the shards by https:// or pipe:"
                        ) from error


def open_remote(url: str) -> IO[bytes]:
    """The bytes at an address, from the beginning. Raises OSError where it cannot be opened, and while it is read."""
    if url.startswith("pipe:"):
        from webdataset.gopen import gopen_pipe

        pipe: IO[bytes] = gopen_pipe(url)
        return pipe
    if url.startswith(("http://", "https://")):
        return io.BufferedReader(_WebFile(url), CHUNK)
    import fsspec

    opened: IO[bytes] = fsspec.open(url, "rb").open()
    return opened


class _SameHost(urllib.request.HTTPRedirectHandler):
    """Follows a server to itself only."""

    def redirect_request(self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str,
                         headers: http.client.HTTPMessage, newurl: str) -> urllib.request.Request | None:
        before, after = (urllib.parse.urlsplit(url) for url in (req.full_url, newurl))
        if (before.scheme, before.netloc) != (after.scheme, after.netloc):
            raise _Elsewhere(f"the server sends to {after.scheme}://{after.netloc}, which was not named")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class _Elsewhere(OSError):
    """Another host than the one that was named."""


class _WebFile(io.RawIOBase):
    """A web address as a file that is read once; a broken connection is opened again at the byte where it broke."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url
        self._opener = urllib.request.build_opener(_SameHost)
        self._answer: http.client.HTTPResponse | None = None
        self._position = 0
        self._size: int | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        failures = 0
        while self._size is None or self._position < self._size:
            try:
                if self._answer is None:
                    self._answer = self._open()
                count = self._answer.readinto(buffer)
                if count or self._size is None:
                    self._position += count
                    return count
                raise ConnectionError(f"ended after {self._position} of {self._size} bytes")
            except _BROKEN as error:
                failures += 1
                self._drop()
                if failures >= TRIES or not _may_change(error):
                    raise error if isinstance(error, OSError) else ConnectionError(str(error)) from error
                log.debug("%s: %s; again from byte %d", self._url, error, self._position)
                time.sleep(WAIT * 2 ** (failures - 1))
        return 0

    def _open(self) -> http.client.HTTPResponse:
        headers = {"Range": f"bytes={self._position}-"} if self._position else {}
        answer: http.client.HTTPResponse = self._opener.open(
            urllib.request.Request(self._url, headers=headers), timeout=TIMEOUT)
        partial = answer.status == http.HTTPStatus.PARTIAL_CONTENT
        length = answer.headers.get("Content-Length")
        if length is not None:
            self._size = int(length) + (self._position if partial else 0)
        if self._position and not partial:
            _skip(answer, self._position)  # a server without ranges begins anew
        return answer

    def _drop(self) -> None:
        if self._answer is not None:
            self._answer.close()
            self._answer = None

    def close(self) -> None:
        self._drop()
        super().close()


def _skip(answer: BinaryIO | http.client.HTTPResponse, number: int) -> None:
    while number:
        chunk = answer.read(min(number, CHUNK))
        if not chunk:
            raise ConnectionError("the server's file is shorter than before")
        number -= len(chunk)


def _may_change(error: Exception) -> bool:
    """Whether another try may end otherwise."""
    if isinstance(error, urllib.error.HTTPError):
        return error.code in _LATER
    return not isinstance(error, _Elsewhere) and not (
        isinstance(error, urllib.error.URLError) and isinstance(error.reason, _Elsewhere))
