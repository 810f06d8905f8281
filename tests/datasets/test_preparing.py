"""From BLIP's lists to img2dataset's parts, and from what img2dataset wrote to samples."""

from __future__ import annotations

import csv
import json
from dataclasses import asdict
from pathlib import Path

import pytest

from minigpt4.cli.main import main
from minigpt4.common.errors import UserError
from minigpt4.datasets import preparing
from minigpt4.datasets.checking import read_all
from minigpt4.datasets.formats import json_stream
from minigpt4.datasets.formats.download_report import downloads_of
from minigpt4.datasets.formats.json_stream import JsonObjects
from minigpt4.datasets.formats.shards import open_shards
from minigpt4.datasets.preparing import DownloadSettings, commands, write_parts, write_spark_script
from minigpt4.processors.captions import Identity
from minigpt4.processors.decoding import open_image
from minigpt4.records.conversations import Sample
from tests.fixtures.make_img2dataset import COLORS, captions

OBJECTS = [{"url": f"https://x.example/{number}", "caption": f'"é图" no {number} }} ] ,\\'} for number in range(9)]
FORMS = {
    "list": json.dumps(OBJECTS), "unescaped": json.dumps(OBJECTS, ensure_ascii=False),
    "indented": json.dumps(OBJECTS, indent=2), "lines": "\n".join(map(json.dumps, OBJECTS)) + "\n",
    "byte order mark": "\ufeff" + json.dumps(OBJECTS), "no end": json.dumps(OBJECTS)[:-1],
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("chunk", [1, 7, 1 << 20])
def test_objects_come_one_after_another(tmp_path: Path, form: str, chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_stream, "CHUNK", chunk)
    (tmp_path / "a.json").write_text(FORMS[form], encoding="utf-8")
    assert list(JsonObjects(tmp_path / "a.json")) == OBJECTS


@pytest.mark.parametrize("form", FORMS)
def test_reading_goes_on_at_a_place_in_bytes(tmp_path: Path, form: str) -> None:
    (tmp_path / "a.json").write_text(FORMS[form], encoding="utf-8")
    for read in range(1, 10):
        first = JsonObjects(tmp_path / "a.json")
        for _, _ in zip(range(read), first, strict=False):
            pass
        assert list(JsonObjects(tmp_path / "a.json", first.place, first.number)) == OBJECTS[read:]


@pytest.mark.parametrize(("content", "sentence"), [
    (b'[{"url": 1}, {"url" 2}]', r"a\.json, object 1: wrong JSON \(Expecting ':' delimiter\); fix the file there"),
    (b'[{"url": 1}, {"url": ', r"a\.json, object 1: wrong JSON"),
    (b"[1, 2]", r"a\.json, object 0: begins with '1, 2\]', not with {"),
    (b'[{"url": "\xff"}]', r"a\.json, object 0: is not UTF-8 text"),
    (b"PAR1xxxx", r"a\.json: is no text but a Parquet file"),
])
def test_what_is_no_list_of_objects_is_told(tmp_path: Path, content: bytes, sentence: str) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(UserError, match=sentence):
        list(JsonObjects(tmp_path / "a.json"))


def test_an_object_without_end_is_not_read_into_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_stream, "CHUNK", 10)
    monkeypatch.setattr(json_stream, "LONGEST", 50)
    (tmp_path / "a.json").write_text('[{"a": "' + "x" * 1000)
    objects = JsonObjects(tmp_path / "a.json")
    with pytest.raises(UserError, match="wrong JSON"):
        list(objects)
    assert len(objects._text) < 100


def rows_of(folder: Path) -> list[list[list[str]]]:
    parts = []
    for path in sorted((folder / "parts").iterdir()):
        with open(path, encoding="utf-8", newline="") as file:
            parts.append(list(csv.reader(file, delimiter="\t")))
    return parts


LISTS = ([{"url": "u0", "caption": "c0"}, {"url": "u1"}, {"url": "u2", "caption": 'a "b"\tc\nd'},
          {"caption": "c3"}, {"url": "u4", "caption": "c4"}, {"url": "u5", "caption": " "}],
         [{"url": "u6", "caption": "c6", "score": 1}, {"url": "u7", "caption": "c7"}])


@pytest.fixture
def lists(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"{number}.json" for number in range(len(LISTS))]
    for path, records in zip(paths, LISTS, strict=True):
        path.write_text(json.dumps(records))
    return paths


EXPECTED = [[["caption", "url"], ["c0", "u0"], ['a "b" c d', "u2"]], [["caption", "url"], ["c4", "u4"]],
            [["caption", "url"], ["c6", "u6"], ["c7", "u7"]]]


def test_lists_become_parts(tmp_path: Path, lists: list[Path]) -> None:
    told: list[int] = []
    progress = write_parts(lists, tmp_path / "out", rows_per_part=2, told=told.append)
    assert rows_of(tmp_path / "out") == EXPECTED
    assert (progress.rows, progress.parts, progress.left_out, progress.done_lists) == (5, 3, 3, 2)
    assert sum(told) <= sum(path.stat().st_size for path in lists)
    again = write_parts(lists, tmp_path / "out", rows_per_part=2)
    assert again == progress and rows_of(tmp_path / "out") == EXPECTED


@pytest.mark.parametrize("stop_after", [0, 1, 2])
def test_parts_go_on_after_an_interruption(tmp_path: Path, lists: list[Path], stop_after: int,
                                           monkeypatch: pytest.MonkeyPatch) -> None:
    real, written = preparing._write, []

    def stopping(path: Path, rows: object) -> int:
        if len(written) == stop_after:
            raise KeyboardInterrupt
        written.append(path)
        return real(path, rows)  # type: ignore[arg-type]

    monkeypatch.setattr(preparing, "_write", stopping)
    with pytest.raises(KeyboardInterrupt):
        write_parts(lists, tmp_path / "out", rows_per_part=2)
    monkeypatch.setattr(preparing, "_write", real)
    progress = write_parts(lists, tmp_path / "out", rows_per_part=2)
    assert rows_of(tmp_path / "out") == EXPECTED and (progress.rows, progress.left_out) == (5, 3)


def test_other_lists_need_another_folder(tmp_path: Path, lists: list[Path]) -> None:
    write_parts(lists, tmp_path / "out", rows_per_part=2)
    with pytest.raises(UserError, match="holds parts of other lists or of another size; choose a new folder"):
        write_parts(lists[:1], tmp_path / "out", rows_per_part=2)
    with pytest.raises(UserError, match="cannot be read"):
        write_parts([tmp_path / "gone.json"], tmp_path / "other", rows_per_part=2)
    (tmp_path / "wrong.json").write_text(json.dumps([{"url": "u", "description": "d"}] * 100))
    with pytest.raises(UserError, match="no object with 'url' and 'caption'.*rename 'description' to 'caption'"):
        write_parts([tmp_path / "wrong.json"], tmp_path / "other", rows_per_part=2)


def test_the_command_lines_name_parts_and_shards(tmp_path: Path) -> None:
    settings = DownloadSettings(encode_format="png")
    lines = commands(settings, Path("/data/my laion"))
    local = lines["this machine"]
    assert local.startswith("img2dataset --url_list '/data/my laion/parts' --input_format tsv --url_col url ")
    assert "--output_folder '/data/my laion/shards' --image_size 256 --encode_format png --encode_quality 6 " in local
    assert lines["a Ray cluster"] == f"RAY_ADDRESS=auto {local} --distributor ray"
    script = write_spark_script(settings, tmp_path)
    compiled = compile(script.read_text(), str(script), "exec")
    assert "download" in compiled.co_names and lines["a Spark cluster"].endswith("'/data/my laion/download_spark.py'")


@pytest.mark.parametrize("encoding", ["jpg", "png", "webp"])
def test_what_img2dataset_wrote_is_read_as_it_is(project: Path, encoding: str) -> None:
    """Recorded from the real program (tests/fixtures/make_img2dataset.py), two of eight addresses dead."""
    folder = project / "tests/fixtures/img2dataset" / encoding
    dataset = open_shards("laion", str(folder), Identity())
    samples = [dataset.sample(number) for number in range(len(dataset))]
    assert all(isinstance(sample, Sample) for sample in samples) and len(samples) == len(COLORS)
    wanted = {caption.replace("\t", " "): color for caption, color in zip(captions(), COLORS, strict=True)}
    for sample in samples:
        assert isinstance(sample, Sample)
        color = wanted.pop(sample.conversation.turns[1].text)
        red, green, blue = open_image(sample.conversation.images[0]).getpixel((8, 8))  # type: ignore[misc]
        expected = {"red": (255, 0, 0), "green": (0, 128, 0), "blue": (0, 0, 255), "white": (255, 255, 255),
                    "orange": (255, 165, 0), "purple": (128, 0, 128)}[color]
        assert max(abs(one - other) for one, other in zip((red, green, blue), expected, strict=True)) < 12
    findings = read_all(dataset)
    assert findings.downloads is not None and asdict(findings.downloads) == {
        "rows": 8, "failed": 2, "reasons": {"HTTP Error 404: File not found": 2}, "unknown": 0}
    assert findings.report(dataset)["downloads"] == asdict(findings.downloads)


def test_downloads_without_a_report_are_unknown(tmp_path: Path) -> None:
    (tmp_path / "1_stats.json").write_text('{"successes": 3, "status_dict": {"success": 3, "timed out": 1}}')
    (tmp_path / "2_stats.json").write_text('{"successes": 3, "sta')
    shards = [tmp_path / f"{number}.tar" for number in range(1, 4)]
    found = downloads_of(shards)
    assert found is not None and (found.rows, found.failed, found.unknown) == (4, 1, 2)
    assert found.line() == "downloads: 1 of 4 rows failed (25 %: 1 timed out); 2 shards have no report"
    assert downloads_of(shards[1:]) is None


def test_the_command_makes_parts_and_then_an_index(tmp_path: Path, lists: list[Path], project: Path,
                                                   capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "laion"
    call = ["data", "prepare", "laion", "--output", str(out)]
    assert main(call) == 2
    assert "holds no .tar yet; name the lists with --json" in capsys.readouterr().err
    assert main([*call, "--json", *map(str, lists)]) == 0
    printed = capsys.readouterr().out
    assert "5 rows in 2 parts, 3 objects without url or caption" in printed
    assert f"img2dataset --url_list {out}/parts" in printed
    assert f"afterwards: minigpt4 data prepare laion --output {out}" in printed
    (out / "shards").mkdir()
    for file in (project / "tests/fixtures/img2dataset/jpg").iterdir():
        (out / "shards" / file.name).write_bytes(file.read_bytes())
    assert main(call) == 0
    printed = capsys.readouterr().out
    assert "6 samples in 2 shards, 0 damaged" in printed
    assert "downloads: 2 of 8 rows failed (25 %: 2 HTTP Error" in printed
    assert f"  laion:\n    build_info: {{storage: {out}/shards}}\n    sample_ratio: 115" in printed
