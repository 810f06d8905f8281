"""`minigpt4 weights download` against servers on this machine that cut, forget, change and lie."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from minigpt4.cli.main import main
from minigpt4.common.errors import UserError
from minigpt4.weights.download.fetch import Patience
from minigpt4.weights.download.folder import download, wanted_files
from minigpt4.weights.download.known import KnownFile, KnownWeights, Source, find_known, known_weights
from minigpt4.weights.files.checksums import read_checksums, verify_checksums, verify_file
from tests.weights.servers import COMMIT, Server, serving

CONTENT = bytes(range(256)) * 400  # 100 kB, no part like another's offset
OTHER = CONTENT[::-1]
QUICK = Patience(tries=3, first_wait=0.001, timeout=5)
PATH = "/eye.pth"


@pytest.fixture
def server() -> Iterator[Server]:
    with serving(Server(files={PATH: CONTENT})) as running:
        yield running


def eye(*urls: str, sha256: str | None = None, size: int | None = None) -> KnownWeights:
    """A file that can be had from these addresses."""
    return KnownWeights("eye", "an encoder", "MIT", "--options model.vision.weights={path}",
                        tuple(Source(url=url) for url in urls), KnownFile("eye.pth", size, sha256))


def download_to(known: KnownWeights, folder: Path, **options: Any) -> Path:
    """Where it lies after the download."""
    return download(known, folder, **options).place


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def begin(known: KnownWeights, folder: Path, server: Server) -> None:
    """A try that is cut in the middle and has no second one."""
    server.cuts = 1
    with pytest.raises(UserError, match="the connection ended after"):
        download(known, folder, patience=Patience(tries=1))
    assert (folder / "eye.pth.partial").stat().st_size == len(CONTENT) // 2 // 4096 * 4096 + 4096
    assert not (folder / "eye.pth").exists()


# --- one file ---


def test_a_file_comes_whole_with_its_checksum_and_where_it_came_from(server: Server, tmp_path: Path) -> None:
    known = eye(server.address + PATH, sha256=sha256(CONTENT), size=len(CONTENT))
    place = download_to(known, tmp_path, patience=QUICK)
    assert place == tmp_path / "eye.pth" and place.read_bytes() == CONTENT
    assert verify_checksums(tmp_path / "SHA256SUMS") == 1
    assert json.loads((tmp_path / "eye.pth.source.json").read_text()) == {
        "name": "eye", "url": server.address + PATH, "licence": "MIT",
        "files": {"eye.pth": {"size": len(CONTENT), "sha256": sha256(CONTENT)}},
    }
    assert sorted(path.name for path in tmp_path.iterdir()) == ["SHA256SUMS", "eye.pth", "eye.pth.source.json"]
    assert verify_file(place)
    place.write_bytes(OTHER)
    with pytest.raises(UserError, match="does not match its checksum in"):
        verify_file(place)


def test_a_second_file_leaves_the_checksums_of_the_first(server: Server, tmp_path: Path) -> None:
    (tmp_path / "mine.pth").write_bytes(b"1")
    (tmp_path / "SHA256SUMS").write_text(f"{sha256(b'1')}  mine.pth\n{sha256(b'2')}  gone.pth\n")
    download(eye(server.address + PATH), tmp_path)
    assert sorted(read_checksums(tmp_path / "SHA256SUMS")) == ["eye.pth", "mine.pth"]


def test_a_dropped_connection_is_taken_up_where_it_ended(server: Server, tmp_path: Path) -> None:
    server.cuts = 1
    assert download_to(eye(server.address + PATH), tmp_path, patience=QUICK).read_bytes() == CONTENT
    first, second = server.asked(PATH)
    assert first is None and second is not None and re.fullmatch(r"bytes=\d{5}-", second)


def test_a_later_try_goes_on_with_the_begun_bytes(server: Server, tmp_path: Path) -> None:
    known = eye(server.address + PATH)
    begin(known, tmp_path, server)
    done: list[int] = []
    have = (tmp_path / "eye.pth.partial").stat().st_size
    assert download_to(known, tmp_path, bar=lambda words, total: nullcontext(done.append)).read_bytes() == CONTENT
    assert server.asked(PATH) == [None, f"bytes={have}-"]
    assert done[0] == have and sum(done) == len(CONTENT)


def test_a_server_without_ranges_is_asked_and_gives_all_again(server: Server, tmp_path: Path) -> None:
    known = eye(server.address + PATH)
    begin(known, tmp_path, server)
    server.ranges = False
    assert download_to(known, tmp_path, patience=QUICK).read_bytes() == CONTENT
    assert [asked is not None for asked in server.asked(PATH)] == [False, True]


@pytest.mark.parametrize("etags", [True, False])
def test_a_file_that_changed_between_two_tries_is_never_mixed(etags: bool, server: Server, tmp_path: Path) -> None:
    """With an ETag the change is seen; a server that gives none is not trusted to have kept the file."""
    server.etags = etags
    known = eye(server.address + PATH)
    begin(known, tmp_path, server)
    server.files[PATH] = OTHER
    assert download_to(known, tmp_path, patience=QUICK).read_bytes() == OTHER


def test_wrong_bytes_never_get_the_name(server: Server, tmp_path: Path) -> None:
    wrong = "0" * 64
    with pytest.raises(UserError, match=f"other bytes than eye.pth has: sha256 {sha256(CONTENT)} instead of {wrong}"):
        download(eye(server.address + PATH, sha256=wrong), tmp_path, patience=QUICK)
    assert list(tmp_path.iterdir()) == []


def test_another_size_is_refused_before_the_bytes_come(server: Server, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has 102400 bytes, eye.pth should have 5"):
        download(eye(server.address + PATH, size=5), tmp_path, patience=QUICK)
    assert list(tmp_path.iterdir()) == []


def test_a_web_page_is_no_weights(server: Server, tmp_path: Path) -> None:
    """A dead link of a file store answers 200 with a page."""
    server.content_type = "text/html; charset=utf-8"
    with pytest.raises(UserError, match="gives a web page and not the file"):
        download(eye(server.address + PATH), tmp_path, patience=QUICK)


def test_mirrors_are_tried_in_order_with_a_sentence_each(server: Server, tmp_path: Path,
                                                         caplog: pytest.LogCaptureFixture) -> None:
    gone, good = server.address + "/gone.pth", server.address + PATH
    place = download_to(eye(gone, good), tmp_path, patience=QUICK)
    assert place.read_bytes() == CONTENT and f"{gone}: answers 404" in caplog.text
    assert json.loads((tmp_path / "eye.pth.source.json").read_text())["url"] == good


def test_the_sentences_of_all_sources_come_together(server: Server, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        download(eye(server.address + "/a", server.address + "/b"), tmp_path, patience=QUICK)
    assert "/a: answers 404" in str(caught.value) and "/b: answers 404" in str(caught.value)
    assert "minigpt4 weights download eye --offline" in caught.value.fix


def test_an_ill_server_is_asked_again_and_a_clear_no_is_not(server: Server, tmp_path: Path) -> None:
    server.statuses = {PATH: (503, ""), "/closed": (403, "")}
    with pytest.raises(UserError, match="answers 503"):
        download(eye(server.address + PATH, server.address + "/closed"), tmp_path, patience=QUICK)
    assert (len(server.asked(PATH)), len(server.asked("/closed"))) == (QUICK.tries, 1)


def test_a_begun_file_of_all_bytes_is_not_asked_for_again(server: Server, tmp_path: Path) -> None:
    """A kill between the last byte and the final name."""
    known = eye(server.address + PATH)
    begin(known, tmp_path, server)
    (tmp_path / "eye.pth.partial").write_bytes(CONTENT)
    assert download_to(known, tmp_path).read_bytes() == CONTENT
    assert len(server.asked(PATH)) == 1


def test_a_small_disk_is_seen_before_the_first_byte(server: Server, tmp_path: Path,
                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(total=0, used=0, free=1000))
    with pytest.raises(UserError, match="0.1 MB needed, 0.0 MB free"):
        download(eye(server.address + PATH, size=len(CONTENT)), tmp_path)
    assert server.requests == []


def test_what_is_there_is_not_overwritten(server: Server, tmp_path: Path) -> None:
    (tmp_path / "eye.pth").write_bytes(b"mine")
    with pytest.raises(UserError, match="already exists"):
        download(eye(server.address + PATH), tmp_path)
    assert (tmp_path / "eye.pth").read_bytes() == b"mine" and server.requests == []


def test_the_command_is_content_with_what_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                   capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setenv("TRANSFORMERS_OFFLINE", "0")
    (tmp_path / "eva_vit_g.pth").write_bytes(b"whole, as nobody states its size")
    (tmp_path / "vicuna-7b-v1.5").mkdir()
    assert main(["weights", "download", "eva_vit_g", "--to", str(tmp_path)]) == 0
    assert "is already there" in capsys.readouterr().out
    assert main(["weights", "download", "vicuna-7b-v1.5", "--to", str(tmp_path)]) == 2
    assert "is incomplete" in capsys.readouterr().err


# --- the hub, in processes of their own (HF_ENDPOINT is read at import) ---

MODEL = {"config.json": b"{}", "model.safetensors": CONTENT, "pytorch_model.bin": OTHER, "tokenizer.model": b"pieces",
         ".gitattributes": b"*"}


def command(server: Server, folder: Path, *words: str, token: str = "") -> subprocess.Popen[str]:
    environment = {**os.environ, "HF_ENDPOINT": server.address, "HF_HUB_OFFLINE": "0", "TRANSFORMERS_OFFLINE": "0",
                   "HF_HOME": str(folder / "hf"), "HF_TOKEN": token, "HF_HUB_DISABLE_TELEMETRY": "1"}
    return subprocess.Popen([sys.executable, "-m", "minigpt4.cli.main", "weights", "download", *words], text=True,
                            env=environment, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def run(server: Server, folder: Path, *words: str, token: str = "") -> tuple[int, str, str]:
    process = command(server, folder, *words, token=token)
    said, told = process.communicate(timeout=60)
    return process.returncode, said, told


def test_a_repository_by_HF_ENDPOINT_in_one_form_with_token_and_licence(tmp_path: Path) -> None:
    with serving(Server(files={"/store": CONTENT})) as store, serving(Server(hub={"someone/small": MODEL})) as hub:
        large = f"/someone/small/resolve/{COMMIT}/model.safetensors"
        hub.redirects[large] = store.address + "/store"
        status, said, told = run(hub, tmp_path, "hub:someone/small", "--to", "here", token="hf_secret")
        assert status == 0, told
    place = tmp_path / "here" / "small"
    assert sorted(path.name for path in place.iterdir()) == [
        "SHA256SUMS", "config.json", "model.safetensors", "source.json", "tokenizer.model",
    ]
    assert (place / "model.safetensors").read_bytes() == CONTENT and verify_checksums(place / "SHA256SUMS") == 3
    source = json.loads((place / "source.json").read_text())
    assert source["licence"] == "mit" and source["url"] == f"{hub.address}/someone/small/tree/{COMMIT}"
    assert source["files"]["tokenizer.model"] == {"size": 6, "sha256": sha256(b"pieces")}
    assert "use it: minigpt4 weights info here/small" in said and "licence: mit" in said
    assert all(headers["Authorization"] == "Bearer hf_secret" for _, _, headers in hub.requests)
    assert store.requests and not any("Authorization" in headers for _, _, headers in store.requests)


def test_a_killed_download_goes_on_and_keeps_finished_files(tmp_path: Path) -> None:
    large = CONTENT * 8
    with serving(Server(hub={"someone/two": {"a.bin": CONTENT, "b.bin": large, "config.json": b"{}"}})) as hub:
        hub.slow = 0.002
        first = command(hub, tmp_path, "hub:someone/two")
        begun = tmp_path / "weights" / "two.partial"
        deadline = time.monotonic() + 60
        while not (part := begun / "b.bin.partial").exists() or part.stat().st_size < 50_000:
            assert time.monotonic() < deadline and first.poll() is None, first.communicate()
            time.sleep(0.01)
        first.send_signal(signal.SIGKILL)
        first.communicate()
        assert not (tmp_path / "weights" / "two").exists() and (begun / "a.bin").exists()
        hub.requests.clear()
        hub.slow = 0
        status, _, told = run(hub, tmp_path, "hub:someone/two")
        assert status == 0, told
    assert (tmp_path / "weights" / "two" / "b.bin").read_bytes() == large
    assert hub.asked(f"/someone/two/resolve/{COMMIT}/a.bin") == []
    (asked,) = hub.asked(f"/someone/two/resolve/{COMMIT}/b.bin")
    assert asked is not None and int(asked.removeprefix("bytes=").removesuffix("-")) >= 50_000
    assert sorted(path.name for path in (tmp_path / "weights").iterdir()) == ["two"]


def test_one_file_of_a_space_by_its_known_name(tmp_path: Path) -> None:
    files = {"prerained_minigpt4_7b.pth": CONTENT, "app.py": b"no"}
    with serving(Server(hub={"spaces/Vision-CAIR/minigpt4": files})) as hub:
        status, said, told = run(hub, tmp_path, "prerained_minigpt4_7b")
        assert status == 0, told
    place = tmp_path / "weights" / "prerained_minigpt4_7b.pth"
    assert place.read_bytes() == CONTENT
    assert "use it: --options model.ckpt=weights/prerained_minigpt4_7b.pth" in said
    assert json.loads(Path(f"{place}.source.json").read_text())["licence"] == "BSD-3-Clause (MiniGPT-4)"


def test_an_unknown_repository_is_one_sentence(tmp_path: Path) -> None:
    with serving(Server()) as hub:
        status, _, told = run(hub, tmp_path, "hub:someone/nothing")
    assert status == 2 and "someone/nothing/tree/main: does not exist, or is private" in told
    assert "Traceback" not in told


def test_a_gated_repository_says_what_to_accept_and_set(tmp_path: Path) -> None:
    gated = "/api/models/meta-llama/Llama-2-7b-chat-hf/revision/main"
    with serving(Server(statuses={gated: (403, "GatedRepo")})) as hub:
        status, _, told = run(hub, tmp_path, "llama-2-7b-chat-hf")
    assert status == 2 and "accepted its licence" in told and "set HF_TOKEN" in told and hub.address in told


# --- the table, and without a network ---


def test_every_entry_can_be_had_and_is_named_as_its_file(project: Path) -> None:
    """A path of a config leads to its entry by its last part; what nobody states stands nowhere."""
    for name, known in known_weights().items():
        assert known.place(Path()).name in (name, f"{name}.pth") and "{path}" in known.use
        assert known.sources or known.by_hand
        for file in [known.file] if known.file else known.files:
            assert file.sha256 is None or re.fullmatch(r"[0-9a-f]{64}", file.sha256)
        for source in known.sources:
            assert bool(source.url) != bool(source.hub) and (not source.url or source.url.startswith("https://"))
            assert known.file is None or source.url or source.file, "a repository's file has to be named"


def test_a_revision_is_one_of_a_repository(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["weights", "download", "vicuna-13b-v1.5", "--offline", "--revision", "v2"]) == 2
    assert "https://huggingface.co/lmsys/vicuna-13b-v1.5/tree/v2" in capsys.readouterr().out
    assert main(["weights", "download", "eva_vit_g", "--offline", "--revision", "v2"]) == 2
    assert "does not come from a repository with revisions" in capsys.readouterr().err


def test_a_folder_that_cannot_be_made_is_one_sentence(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot be created"):
        download(eye(server.address + PATH), tmp_path / "file" / "below")


def test_an_unknown_name_is_told_with_the_nearest() -> None:
    with pytest.raises(UserError, match="did you mean 'eva_vit_g'"):
        find_known("eva_vit")
    assert find_known("eva_vit_g.pth") is known_weights()["eva_vit_g"]


def test_offline_names_every_file_and_what_is_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                   capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    known = known_weights()["vicuna-7b-v1.5"]
    (tmp_path / "weights" / known.name).mkdir(parents=True)
    (tmp_path / "weights" / known.name / "config.json").write_text("{}")
    assert main(["weights", "download", known.name, "--offline"]) == 2
    said = capsys.readouterr().out
    assert f"here     weights/{known.name}/config.json" in said
    for file in known.files[1:]:
        assert f"missing  weights/{known.name}/{file.name}" in said
        assert f"from https://huggingface.co/lmsys/vicuna-7b-v1.5/resolve/main/{file.name}" in said
        (tmp_path / "weights" / known.name / file.name).write_text("")
    assert main(["weights", "download", known.name, "--offline"]) == 0
    assert "missing" not in (said := capsys.readouterr().out)
    assert f"--options model.llm.weights=weights/{known.name}" in said


def test_a_file_of_another_size_is_not_here(tmp_path: Path) -> None:
    known = eye("https://nowhere/eye.pth", size=5)
    (tmp_path / "eye.pth").write_bytes(b"1234")
    assert [file.is_here for file in wanted_files(known, tmp_path)] == [False]
    (tmp_path / "eye.pth").write_bytes(b"12345")
    assert [file.is_here for file in wanted_files(known, tmp_path)] == [True]


def test_what_lies_nowhere_is_said_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                           capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setenv("TRANSFORMERS_OFFLINE", "0")
    assert main(["weights", "download", "minigpt4_stage1_7b"]) == 2  # has no source, so no network is touched
    assert "not available anywhere" in (told := capsys.readouterr().err) and "save it under this name" in told


def test_the_list_has_size_licence_and_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["weights", "download", "--list"]) == 0
    said = capsys.readouterr().out
    assert all(name in said and known.licence in said and known.words in said
               for name, known in known_weights().items())
    assert "0.43 GB" in said
