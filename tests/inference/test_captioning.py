"""Captions of whatever lies in a folder, into whatever was named as output: a line or a sentence each."""

from __future__ import annotations

import errno
import json
import os
import struct
from pathlib import Path

import pytest

from minigpt4.assembly.loaded import LoadedModel
from minigpt4.cli.main import main
from minigpt4.common.errors import UserError
from minigpt4.common.files import shown
from minigpt4.datasets.dataset import RecordDataset
from minigpt4.datasets.formats.lines import JsonLines
from minigpt4.datasets.instructions import ImageRecords
from minigpt4.generation.settings import DecodingSettings
from minigpt4.inference.caption_files import Caption, already_described, images_of, write_captions
from minigpt4.inference.captioning import Captioner
from minigpt4.inference.images import as_image_ref
from minigpt4.processors.captions import Identity
from minigpt4.records.conversations import Sample
from tests import tiny
from tests.datasets.data_fakes import image_bytes

HEIC = struct.pack(">I", 24) + b"ftypheic\0\0\0\0mif1heic" + b"\0" * 64
NOT_UTF8 = "b\udcb0.jpg"


@pytest.fixture(scope="module")
def captioner() -> Captioner:
    loaded: LoadedModel = tiny.model()
    return Captioner(loaded, DecodingSettings(max_new_tokens=2), "describe")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Good images between a link to nothing, a pipe, a phone's image, and files that are no images."""
    place = tmp_path / "photos"
    (place / "below.png").mkdir(parents=True)
    for name in ("a.png", NOT_UTF8, "below.png/c.JPG"):
        (place / name).write_bytes(image_bytes())
    (place / "gone.png").symlink_to("nothing.png")
    os.mkfifo(place / "pipe.png")
    (place / "phone.heic").write_bytes(HEIC)
    for name in ("notes.txt", "more.txt", "README"):
        (place / name).write_text("text")
    return place


def test_every_image_of_a_folder_costs_a_line(folder: Path, captioner: Captioner, tmp_path: Path) -> None:
    contents = images_of(folder)
    assert contents.others == {".txt": 2, "without ending": 1}
    output = tmp_path / "out.jsonl"
    list(write_captions(captioner.describe(contents.images, batch_size=2), output, folder))
    lines = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
    said = {line["image"]: line.get("error", "") for line in lines}
    assert [name for name, error in said.items() if not error] == ["a.png", "below.png/c.JPG", "b\\xb0.jpg"]
    assert "gone.png: no such image" in said["gone.png"]
    assert "is no regular file but a named pipe" in said["pipe.png"]
    assert "is a HEIC file, which is not read here; save it as JPEG" in said["phone.heic"]
    assert already_described(output) == {shown(path) for path in contents.images}


def test_captions_can_serve_as_texts(folder: Path, captioner: Captioner, tmp_path: Path) -> None:
    """Names are relative to the folder; a line of an image that could not be read says what to do with it."""
    output, contents = tmp_path / "out.jsonl", images_of(folder)
    list(write_captions(captioner.describe(contents.images), output, folder))
    dataset = RecordDataset("texts", JsonLines.open(output), ImageRecords(folder, Identity()))
    samples = {sample.source.rpartition(":")[2]: sample for sample in map(dataset.sample, range(len(dataset)))}
    good = [sample for sample in samples.values() if isinstance(sample, Sample)]
    assert [sample.conversation.images[0].path for sample in good[:2]] == [folder / "a.png", folder / "below.png/c.JPG"]
    wrong = [str(sample) for sample in samples.values() if not isinstance(sample, Sample)]
    assert len(wrong) == 3 and all("could not read its image; remove the line" in sentence for sentence in wrong)


def test_lines_of_several_folders_and_of_earlier_versions_are_told_apart(tmp_path: Path) -> None:
    """The same names in another folder are other images; earlier versions wrote the whole path as the name."""
    output = tmp_path / "out.jsonl"
    output.write_text('{"image": "first/a.png", "caption": "a rose"}\n')
    list(write_captions([Caption("second/a.png", "a tulip")], output, Path("second")))
    list(write_captions([Caption("third/b/a.png")], output, Path("third/")))
    assert already_described(output) == {"first/a.png", "second/a.png", "third/b/a.png"}
    lines = [json.loads(line) for line in output.read_text().splitlines()]
    assert lines[1] == {"image": "a.png", "caption": "a tulip", "reason": "", "folder": "second"}
    assert lines[2]["image"] == "b/a.png" and lines[2]["caption"] == ""


def test_the_command_counts_what_it_left_out_and_goes_on_after_a_stop(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("model.yaml").write_text("model: {arch: minigpt4, model_type: scenes, template: plain}\nrun: {device: cpu}\n")
    call = ["caption", str(folder), "--cfg-path", "model.yaml", "--output", "out.jsonl", "--max-new-tokens", "2"]
    assert main(call) == 0
    printed = capsys.readouterr().out
    assert "out.jsonl: 3 captions, 3 unreadable, 0 from an earlier run" in printed
    assert "left out, as they do not end like images: 2 .txt, 1 without ending" in printed
    assert main(call) == 0
    assert "out.jsonl: 0 captions, 0 unreadable, 6 from an earlier run" in capsys.readouterr().out
    (folder / "bad").mkdir()
    (folder / "bad" / "x.png").write_bytes(b"")
    assert main([*call[:1], str(folder / "bad"), *call[2:5], "bad.jsonl"]) == 1


@pytest.mark.parametrize(("output", "said"), [
    ("folder", "folder: is a folder; name a file in it: folder/captions.jsonl"),
    ("notes.txt/out.jsonl", "which is a file; choose another file with --output"),
    ("notes.txt", "notes.txt:1: is no line of captions, so the file is something else and is left as it is"),
    ("half", "half:1: is no line of captions"), ("list.json", "list.json:1: is no line of captions"),
    ("other.jsonl", "other.jsonl:2: is no line of captions"), ("bytes", "bytes:1: is no line of captions"),
    ("pipe", "pipe: is no regular file"),
])
def test_an_output_that_is_something_else_is_left_as_it_is(
    output: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    contents = {"notes.txt": b"notes\n", "half": b"notes", "list.json": b"[]\n", "bytes": b"\xff\xfe\0\n",
                "other.jsonl": b'{"image": "a.png"}\n{"text": "x"}\n'}
    for name, content in contents.items():
        Path(name).write_bytes(content)
    Path("folder").mkdir()
    os.mkfifo("pipe")
    with pytest.raises(UserError) as error:
        already_described(Path(output))
    assert said in str(error.value)
    assert all(Path(name).read_bytes() == content for name, content in contents.items())


@pytest.mark.parametrize(("content", "kept", "names"), [
    (b'{"image": "a.png"}\n{"image": "b.p', b'{"image": "a.png"}\n', {"a.png"}), (b'{"im', b"", set()),
    (b'{"image": "a.png"}\n{"image": "b.png"}', b'{"image": "a.png"}\n{"image": "b.png"}\n', {"a.png", "b.png"}),
    (b"", b"", set()), (b'{"image": "a.png"}\n\n', b'{"image": "a.png"}\n\n', {"a.png"}),
])
def test_what_a_kill_left_is_continued(content: bytes, kept: bytes, names: set[str], tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    output.write_bytes(content)
    assert already_described(output) == names
    assert output.read_bytes() == kept


def test_a_full_disk_is_one_sentence_and_keeps_what_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Full:
        """A file of which 60 bytes can be written."""

        def __init__(self) -> None:
            self.written = b""

        def __enter__(self) -> Full:
            return self

        def __exit__(self, *_: object) -> None: ...

        def write(self, content: bytes) -> int:
            room = 60 - len(self.written)
            if not room:
                raise OSError(errno.ENOSPC, "No space left on device")
            self.written += content[:room]
            return len(content[:room])

    full = Full()
    monkeypatch.setattr("builtins.open", lambda *_, **__: full)
    captions = write_captions((Caption(f"{number}.png", "a rose") for number in range(9)), tmp_path / "out.jsonl",
                              Path("photos"))
    with pytest.raises(UserError, match=r"cannot be written \(No space left on device\); free space .* are kept"):
        list(captions)
    assert full.written.startswith(b'{"image": "0.png", "caption": "a rose", "reason": "", "fold')


@pytest.mark.parametrize(("image", "said"), [
    ("https://example.org/a.jpg", "https://example.org/a.jpg: is an address, which is not fetched"),
    (Path("https://example.org/a.jpg"), "https://example.org/a.jpg: is an address"),
    ("folder", "is a folder; name an image in it, or describe all of them with minigpt4 caption"),
    ("gone.png", "gone.png: no such image; check the path"),
    ("C:\\a.png", "no such image; backslashes do not separate folders"),
    ("pipe.png", "is no regular file"), ("x" * 999, "cannot be read (File name too long)"), ("a\0b", "no such image"),
    (NOT_UTF8, "b\\xb0.jpg: no such image"), (3, "a int is not an image"),
])
def test_what_is_no_image_file(image: object, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    os.mkfifo("pipe.png")
    with pytest.raises(UserError) as error:
        as_image_ref(image)
    assert said in str(error.value)
