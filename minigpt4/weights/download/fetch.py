"""One file from one web address: continues where an earlier attempt stopped, even one that was killed.

Bytes gather in `FILE.partial`; `FILE.partial.json` beside it says which file of the server they belong to. A server
whose file is another one by now, or that gives no part of a file, makes it begin again. Nothing here judges the bytes:
checksums are compared by the caller.
"""

from __future__ import annotations

import http.client
import json
import logging
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from email.message import Message
from http.client import HTTPResponse
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from minigpt4 import __version__
from minigpt4.common.errors import UserError
from minigpt4.common.files import write_json
from minigpt4.weights.files.checksums import Progress, nothing

logger = logging.getLogger(__name__)

UNAVAILABLE = "weights.source"
"""code of the error that one source does not give the file; another may"""
DROPPED = (OSError, http.client.HTTPException)
"""how connections end that should not; errors of the disk are reported separately"""
AGAIN = (408, 425, 429, 500, 502, 503, 504)
"""answers of a server that is busy or ill: it may have recovered in a moment"""
BLOCK = 1 << 18
SCHEMES = ("http", "https")


@dataclass(frozen=True)
class RemoteFile:
    """A file elsewhere.

    Args:
        name: what it is called here, with folders in between as `a/b.json`.
        url: where its bytes are.
        size: in bytes, if stated.
        sha256: of its bytes, if stated.
        token: sent to this host only, never to one that it redirects to.
    """

    name: str
    url: str
    size: int | None = None
    sha256: str | None = None
    token: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Patience:
    """How a bad connection is borne.

    Args:
        tries: in a row that bring no byte.
        first_wait: seconds before the second try; doubled each time.
        timeout: seconds without a byte until a connection counts as dropped.
    """

    tries: int = 5
    first_wait: float = 1.0
    timeout: float = 60.0


PATIENT = Patience()


@dataclass(frozen=True)
class Edition:
    """Which file of the server the bytes belong to; equal only if it is the same."""

    url: str
    size: int | None = None
    etag: str = ""
    last_modified: str = ""

    @property
    def is_certain(self) -> bool:
        """False = the server says nothing by which a changed file would be noticed."""
        return bool(self.etag or self.last_modified)


def partial_of(place: Path) -> Path:
    """Where the bytes gather until the file is whole."""
    return place.with_name(f"{place.name}.partial")


def forget(partial: Path) -> None:
    """Remove what was begun."""
    partial.unlink(missing_ok=True)
    _note(partial).unlink(missing_ok=True)


def fetch(remote: RemoteFile, partial: Path, *, on_bytes: Progress = nothing, patience: Patience = PATIENT) -> None:
    """Bring all bytes of a file into `partial`.

    Args:
        remote: what to bring.
        partial: grows; may have been begun by an earlier process.
        on_bytes: called with the bytes that arrived; with a negative number if it has to start over.
        patience: with dropped connections.

    Raises:
        UserError: code `weights.source`: the source does not provide it; `file.write`: the disk refuses it.
    """
    if urlsplit(remote.url).scheme not in SCHEMES:
        raise unavailable(remote.url, "is no web address", "only http and https are fetched")
    on_bytes(_size(partial))
    failures = 0
    while True:
        before = _size(partial)
        try:
            return _receive(remote, partial, on_bytes, patience.timeout)
        except DROPPED as error:
            failures = 1 if _size(partial) > before else failures + 1
            if _is_final(error) or failures >= patience.tries:
                raise unavailable(remote.url, _reason(error)) from error
            wait = patience.first_wait * 2 ** (failures - 1)
            logger.warning("%s: %s; trying again in %.0f s, from byte %d", remote.url, _reason(error), wait,
                           _size(partial))
            time.sleep(wait)


def unavailable(where: str, what: str, fix: str = "") -> UserError:
    """The error that this source does not give the file."""
    return UserError(UNAVAILABLE, where=where, what=what, fix=fix)


def _receive(remote: RemoteFile, partial: Path, on_bytes: Progress, timeout: float) -> None:
    """One connection: ask for what is missing, append what comes."""
    begun = _begun(remote, partial)
    have = _size(partial) if begun else 0
    if begun and have == begun.size:
        return
    if begun and begun.size is not None and have > begun.size:
        _begin_again(partial, on_bytes)
        begun, have = None, 0
    with _open(remote, have, timeout) as response:
        edition = _edition(remote, response, have)
        if response.status == http.client.PARTIAL_CONTENT and edition != begun:
            logger.warning("%s: is another file than the one begun; beginning again", remote.url)
            _begin_again(partial, on_bytes)
            return _receive(remote, partial, on_bytes, timeout)
        if response.status not in (http.client.OK, http.client.PARTIAL_CONTENT):
            raise unavailable(remote.url, f"answers {response.status}")
        if response.status != http.client.PARTIAL_CONTENT:
            _refuse_other_file(remote, edition, response.headers)
            _begin_again(partial, on_bytes)
            write_json(_note(partial), asdict(edition))
        expected = remote.size if edition.size is None else edition.size
        _append(response, partial, on_bytes, None if expected is None else expected - _size(partial))
    if expected is not None and _size(partial) != expected:
        raise ConnectionError(f"the connection ended after {_size(partial)} of {expected} bytes")


def _open(remote: RemoteFile, have: int, timeout: float) -> Any:
    """Ask for the bytes from `have` on; a server that has none there is asked for all of them."""
    request = urllib.request.Request(remote.url, headers={"User-Agent": f"minigpt4/{__version__}"})
    if remote.token:
        request.add_unredirected_header("Authorization", f"Bearer {remote.token}")
    if have:
        request.add_header("Range", f"bytes={have}-")
    try:
        return urllib.request.build_opener(_TokenStaysAtHome).open(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        if have and error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
            return _open(remote, 0, timeout)
        raise


class _TokenStaysAtHome(urllib.request.HTTPRedirectHandler):
    """A redirect on the same host keeps the token; one to another host (a store of large files) does not get it."""

    def redirect_request(self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str,
                         headers: http.client.HTTPMessage, newurl: str) -> urllib.request.Request | None:
        here, there = urlsplit(req.full_url).scheme, urlsplit(newurl).scheme
        if there not in SCHEMES or (here == "https" and there == "http"):
            raise urllib.error.URLError(f"redirected from {here} to {there or 'no web address'}, which is not followed")
        new = super().redirect_request(req, fp, code, msg, headers, newurl)
        token = req.unredirected_hdrs.get("Authorization")
        if new is not None and token and urlsplit(newurl)[:2] == urlsplit(req.full_url)[:2]:
            new.add_unredirected_header("Authorization", token)
        return new


def _edition(remote: RemoteFile, response: HTTPResponse, have: int) -> Edition:
    headers: Message = response.headers
    size: int | None = None
    if response.status == http.client.PARTIAL_CONTENT:
        span, _, total = headers.get("Content-Range", "").removeprefix("bytes ").partition("/")
        if not span.startswith(f"{have}-"):
            raise unavailable(remote.url, f"was asked for the bytes from {have} on and gave '{span}'")
        size = int(total) if total.isdigit() else None
    elif headers.get("Content-Length", "").isdigit():
        size = int(headers["Content-Length"])
    return Edition(remote.url, size, headers.get("ETag", ""), headers.get("Last-Modified", ""))


def _refuse_other_file(remote: RemoteFile, edition: Edition, headers: Message) -> None:
    if headers.get_content_type() == "text/html" and not remote.name.endswith((".html", ".htm")):
        raise unavailable(remote.url, "gives a web page and not the file")
    if None not in (remote.size, edition.size) and remote.size != edition.size:
        raise unavailable(remote.url, f"has {edition.size} bytes, {remote.name} should have {remote.size}")


def _append(response: HTTPResponse, partial: Path, on_bytes: Progress, announced: int | None) -> None:
    """Append what comes; of more bytes than were announced none is written."""
    with _write_to(partial) as file:
        left = announced
        while block := response.read(BLOCK):
            if left is not None:
                left -= len(block)
                if left < 0:
                    forget(partial)
                    raise unavailable(response.url, "gives more bytes than it announced")
            try:
                file.write(block)
                file.flush()
            except OSError as error:
                raise _cannot_write(partial, error) from error
            on_bytes(len(block))


def _write_to(partial: Path) -> IO[bytes]:
    try:
        return open(partial, "ab")
    except OSError as error:
        raise _cannot_write(partial, error) from error


def _cannot_write(partial: Path, error: OSError) -> UserError:
    return UserError("file.write", where=str(partial), what=f"cannot be written ({error.strerror or error})",
                     fix="free space or choose another folder; the same command continues from here")


def _begun(remote: RemoteFile, partial: Path) -> Edition | None:
    """What the begun bytes belong to; None = nothing is there that can be gone on with."""
    if not _size(partial) or not _note(partial).exists():
        return None
    try:
        values: Mapping[str, Any] = json.loads(_note(partial).read_text(encoding="utf-8"))
        edition = Edition(str(values["url"]), values["size"], str(values["etag"]), str(values["last_modified"]))
    except (ValueError, KeyError, TypeError):  # a note that was cut
        return None
    return edition if edition.url == remote.url and (edition.is_certain or remote.sha256) else None


def _begin_again(partial: Path, on_bytes: Progress) -> None:
    on_bytes(-_size(partial))
    forget(partial)


def _note(partial: Path) -> Path:
    return partial.with_name(f"{partial.name}.json")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _is_final(error: Exception) -> bool:
    """True if another attempt would end the same way: a definite answer, or an invalid certificate."""
    if isinstance(error, urllib.error.HTTPError):
        return error.code not in AGAIN
    return isinstance(getattr(error, "reason", None), ssl.SSLCertVerificationError)


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"answers {error.code} {error.reason}"
    if isinstance(error, urllib.error.URLError):
        return f"cannot be reached ({error.reason})"
    return str(error) or type(error).__name__
