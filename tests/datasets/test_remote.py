"""Shards from a web server on this machine and from object stores: read, resumed, cut, never from another host."""

from __future__ import annotations

import http.server
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from minigpt4.common.errors import UserError
from minigpt4.datasets.formats import remote
from minigpt4.datasets.formats.stream import ShardStream
from minigpt4.processors.captions import Identity
from minigpt4.processors.decoding import open_image
from minigpt4.records.conversations import Sample, Unreadable
from tests.datasets.data_fakes import pair, write_tar


@dataclass
class Site:
    """A web server: what it holds, how it misbehaves, and what it was asked for."""

    files: dict[str, bytes]
    breaks: list[int] = field(default_factory=list)
    """bytes after which each of the next answers breaks off"""
    statuses: list[int] = field(default_factory=list)
    """what each of the next answers is instead"""
    ranges: bool = True
    sends_to: str = ""
    asked: list[tuple[str, str]] = field(default_factory=list)
    address: str = ""


def _handler(site: Site) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range", "")
            site.asked.append((self.path, wanted))
            content = site.files.get(self.path.strip("/").removeprefix("moved/"))
            if self.path.startswith("/moved/") or site.sends_to:
                self.send_response(302)
                self.send_header("Location", f"{site.sends_to or site.address}/{self.path.rpartition('/')[2]}")
                self.end_headers()
                return
            if content is None or site.statuses:
                self.send_error(site.statuses.pop(0) if site.statuses else 404)
                return
            start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and site.ranges else 0
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            self.wfile.write(content[start:][: site.breaks.pop(0) if site.breaks else None])

        def log_message(self, *words: Any) -> None:
            pass

    return Handler


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setattr(remote, "WAIT", 0.0)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    files = {}
    for number in range(2):
        members = [pair(f"{number}{key}", f"rose {number}{key}") for key in range(5)]
        path = write_tar(tmp_path / f"{number}.tar", {name: value for each in members for name, value in each.items()})
        files[path.name] = path.read_bytes()
    site = Site(files)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _handler(site))
    site.address = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield site
    server.shutdown()
    server.server_close()


def everything(pattern: str, samples_per_shard: int | None = None) -> list[Sample | Unreadable]:
    return list(ShardStream.open("web", pattern, Identity(), samples_per_shard).once())


IDS = [f"{number}{key}" for number in range(2) for key in range(5)]


def test_shards_of_a_web_server_are_read(site: Site) -> None:
    samples = everything(f"{site.address}/{{0..1}}.tar")
    assert [sample.id for sample in samples] == IDS and site.asked == [("/0.tar", ""), ("/1.tar", "")]
    assert all(open_image(sample.conversation.images[0]).size == (8, 6) for sample in samples  # type: ignore[union-attr]
               if isinstance(sample, Sample))


@pytest.mark.parametrize("ranges", [True, False])
def test_a_broken_connection_goes_on_where_it_broke(site: Site, ranges: bool) -> None:
    site.breaks, site.ranges = [3000, 5000 if not ranges else 700], ranges
    assert [sample.id for sample in everything(f"{site.address}/0.tar")] == IDS[:5]
    first = [wanted for _, wanted in site.asked]
    assert first[:2] == ["", "bytes=3000-"] and len(first) == 3


def test_a_busy_server_is_asked_again_and_an_absent_shard_is_not(site: Site) -> None:
    site.statuses = [503, 429]
    assert [sample.id for sample in everything(f"{site.address}/0.tar")] == IDS[:5] and len(site.asked) == 3
    site.asked.clear()
    (told,) = everything(f"{site.address}/gone.tar")
    assert isinstance(told, Unreadable) and "archive ends after 0 samples (HTTP Error 404" in told.reason
    assert len(site.asked) == 1


def test_a_connection_that_never_holds_ends_the_shard(site: Site) -> None:
    site.breaks = [3000] + [0] * 20
    told = everything(f"{site.address}/0.tar")
    assert isinstance(told[-1], Unreadable) and len(site.asked) == remote.TRIES
    assert "ended after 3000 of" in told[-1].reason and told[-1].code == "data.shard_cut"


def test_a_cut_shard_is_told(site: Site) -> None:
    site.files["0.tar"] = site.files["0.tar"][:3200]
    told = [each for each in everything(f"{site.address}/0.tar") if isinstance(each, Unreadable)]
    assert len(told) == 1 and "archive ends after" in told[0].reason


def test_no_other_host_is_asked(site: Site) -> None:
    other = Site(site.files)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _handler(other))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        site.sends_to = f"http://127.0.0.1:{server.server_address[1]}"
        (told,) = everything(f"{site.address}/0.tar")
        assert isinstance(told, Unreadable) and f"sends to {site.sends_to}, which was not named" in told.reason
        assert other.asked == [] and len(site.asked) == 1
    finally:
        server.shutdown()
        server.server_close()
    site.sends_to = ""
    assert [sample.id for sample in everything(f"{site.address}/moved/0.tar")] == IDS[:5]


def test_object_stores_are_read_by_fsspec(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store in memory in the place of s3fs: the bucket's files come through fsspec's own door."""
    class Store(MemoryFileSystem):  # type: ignore[misc]
        protocol = "s3"
        store: dict[str, Any] = {}

    monkeypatch.setitem(sys.modules["fsspec.registry"]._registry, "s3", Store)
    for name, content in site.files.items():
        Store().pipe(f"s3://bucket/{name}", content)
    assert [sample.id for sample in everything("s3://bucket/{0..1}.tar")] == IDS
    (told,) = everything("s3://bucket/gone.tar")
    assert isinstance(told, Unreadable) and "gone.tar" in str(told)


def test_a_library_that_is_missing_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(scheme: str) -> None:
        raise ImportError(f"Install {scheme}fs to access {scheme}")

    monkeypatch.setattr(fsspec, "get_filesystem_class", absent)
    with pytest.raises(UserError, match=r"0.tar: cannot be read \(Install s3fs.*pip install 'minigpt4\[remote\]'"):
        ShardStream.open("web", "s3://b/{0..3}.tar", Identity(), None)


def test_the_hub_is_read_by_its_own_library() -> None:
    from huggingface_hub import HfFileSystem

    remote.check_libraries("hf://datasets/someone/some/0.tar")
    assert fsspec.get_filesystem_class("hf").__name__ == HfFileSystem.__name__
