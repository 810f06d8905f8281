"""Files as people bring them: other names, forms and encodings, other kinds of files; each costs one sentence."""

from __future__ import annotations

import json
import os
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from minigpt4.cli.main import main
from minigpt4.common.errors import UserError, UserErrors
from minigpt4.datasets.assembly import build_dataset, build_indexed
from minigpt4.datasets.checking import read_all
from minigpt4.datasets.config import BuildInfo, DatasetConfig
from minigpt4.datasets.formats.index_building import index_shards
from minigpt4.datasets.formats.shards import open_shards
from minigpt4.datasets.formats.stream import ShardStream
from minigpt4.datasets.ledger import Ledger
from minigpt4.datasets.own_texts import read_own_texts
from minigpt4.processors.captions import Identity
from minigpt4.records.conversations import Sample, Unreadable
from minigpt4.systems.minigpt4.wording import read_prompts
from tests.datasets.data_fakes import image_bytes, pair, write_tar

TURNS = [{"from": "human", "value": "<image>\nWhat is it?"}, {"from": "gpt", "value": "A rose."}]


def told(tmp_path: Path, record: object, builder: str = "image_jsonl") -> str:
    """The sentence about one line of a JSONL beside the image a.png; empty if it can be learned."""
    (tmp_path / "a.png").write_bytes(image_bytes())
    (tmp_path / "captions.jsonl").write_text(json.dumps(record))
    storage = tmp_path / "captions.jsonl" if builder == "plain_text" else tmp_path
    dataset = build_indexed(builder, DatasetConfig(build_info=BuildInfo(storage=str(storage))), "train")
    found = read_all(dataset).unreadable
    return str(found[0]).replace(str(tmp_path), "DIR") if found else ""


def refusal(tmp_path: Path, name: str, content: bytes, builder: str) -> str:
    """The sentence about a file that cannot be used at all."""
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError) as error:
        build_dataset(builder, DatasetConfig(build_info=BuildInfo(storage=str(tmp_path), annotations=str(
            tmp_path / name))))
    return str(error.value).replace(str(tmp_path), "DIR")


# --- fields and forms ---


@pytest.mark.parametrize(("record", "said"), [
    ({"file_name": "a.png", "text": "x"}, "it has the fields file_name, text: rename 'file_name' to 'image'"),
    ({"img": "a.png", "caption": "x"}, "it has the fields img, caption: rename 'img' to 'image'"),
    ({"imagee": "a.png", "caption": "x"}, "rename 'imagee' to 'image'"),
    ({"caption": "x"}, "it has the fields caption: add 'image'"),
    ({"images": ["a.png"], "messages": [{"role": "user", "content": "x"}]},
     "has images, messages; this task needs an answer to learn; rename 'messages' to 'conversations'"),
    ({"image": "a.png", "question": "What?", "answer": "A"}, "write 'question' and 'answer' as \"conversations\""),
    ({"image": "a.png", "description": "x"}, "rename 'description' to 'caption'"),
    ({"image": "a.png", "captoin": "x"}, "rename 'captoin' to 'caption'"),
    ({"image": "a.png"}, "add 'caption', 'text' or 'conversations'"),
    ({}, "has no fields; this task needs an answer to learn"),
    ({f"field_{n}": n for n in range(99)}, "87 more"),
    ({"image": {"bytes": "x" * 9999}, "caption": "x"}, "…; give a file name or a list of them"),
    ({"image": "a.png", "conversations": [{"human": "What?"}]},
     "a turn does not say who speaks; it has the fields human"),
    ({"image": "a.png", "conversations": [{"from": "human", "text": "x"}]}, "rename 'text' to 'value'"),
    ({"image": "a.png", "conversations": [{"role": "user", "content": [{"type": "image"}]}]},
     "give one text under 'value', with <image> where an image stands"),
    ({"image": "a.png", "conversations": ["What?"]}, 'write each turn as {"from": "human" or "gpt", "value": …}'),
])
def test_a_record_of_another_form_is_told_its_fields_and_what_to_rename(
    record: dict[str, Any], said: str, tmp_path: Path,
) -> None:
    sentence = told(tmp_path, record)
    assert said in sentence and len(sentence) < 500, sentence


def test_role_and_content_are_read(tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "<image> What?"}, {"role": "assistant", "content": "A rose."}]
    assert told(tmp_path, {"image": "a.png", "conversations": turns}) == ""


def test_plain_texts_and_descriptions_of_another_form(tmp_path: Path) -> None:
    assert "rename 'content' to 'text'" in told(tmp_path, {"content": "x"}, "plain_text")
    (tmp_path / "image").mkdir()
    (tmp_path / "filter_cap.json").write_text(json.dumps([{"id": 1, "caption": "x"}, {"image_id": 1, "text": "x"}]))
    dataset = build_indexed("cc_sbu_align", DatasetConfig(build_info=BuildInfo(storage=str(tmp_path))), "train")
    first, second = (str(dataset.sample(number)) for number in (0, 1))
    assert "has no 'image_id'; it has the fields id, caption: rename 'id' to 'image_id'" in first
    assert "no caption; it has the fields image_id, text: rename 'text' to 'caption'" in second


# --- image marks ---


@pytest.mark.parametrize("mark", ["<image>", "<ImageHere>"])
def test_an_image_mark_in_an_answer_is_refused_by_name(mark: str, tmp_path: Path) -> None:
    turns = [*TURNS, {"from": "human", "value": "And?"}, {"from": "gpt", "value": f"{mark} this"}]
    assert "captions.jsonl:1: an answer contains <image>" in told(tmp_path, {"image": "a.png", "conversations": turns})
    shown_by_answer = [{"from": "human", "value": "Show it"}, {"from": "gpt", "value": f"{mark} Here."}]
    assert "an answer contains" in told(tmp_path, {"image": "a.png", "conversations": shown_by_answer})
    system = [{"from": "system", "value": f"See {mark}"}, *TURNS]
    assert "the system text contains" in told(tmp_path, {"image": "a.png", "conversations": system})
    assert "caption contains" in told(tmp_path, {"image": "a.png", "caption": f"{mark} a rose"})


# --- image files ---


def test_a_missing_image_is_named_with_the_folder_and_backslashes(tmp_path: Path) -> None:
    assert told(tmp_path, {"image": "b.png", "caption": "x"}) == (
        "DIR/captions.jsonl:1: image file is missing: DIR/b.png")
    assert told(tmp_path, {"image": "C:\\data\\b.png", "caption": "x"}) == (
        "DIR/captions.jsonl:1: image file is missing: DIR/C:\\data\\b.png; backslashes do not separate folders here: "
        "write /")


@pytest.mark.parametrize(("name", "said"), [
    ("https://example.org/a.jpg", "https addresses are not fetched: download the image and name the file"),
    ("s3://bucket/a.jpg", "s3 addresses are not fetched"), ("data:image/png;base64,AAAA", "write the image to a file"),
    ("x" * 999, "cannot be read (File name too long)"), ("nul\0l.png", "image file is missing"),
    ("\ud83d.png", "image file is missing"), (".", "is a folder"), ("pipe.png", "is a named pipe, not a file"),
])
def test_names_that_no_image_file_has(name: str, said: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    assert said in told(tmp_path, {"image": name, "caption": "x"})


def align(folder: Path, *names: str, image_id: object = "0") -> list[str]:
    """The sentences about a stage-2 folder whose image/ holds these files."""
    (folder / "image").mkdir(exist_ok=True)
    for name in names:
        content = image_bytes() if name.endswith(("png", "JPG", "image")) else b"a text"
        (folder / "image" / name).write_bytes(content)
    (folder / "filter_cap.json").write_text(json.dumps([{"image_id": image_id, "caption": "x"}]))
    dataset = build_indexed("cc_sbu_align", DatasetConfig(build_info=BuildInfo(storage=str(folder))), "train")
    return [str(entry).replace(str(folder), "DIR") for entry in read_all(dataset).unreadable]


def test_sidecars_beside_an_image_are_not_opened(tmp_path: Path) -> None:
    assert align(tmp_path, "0.caption", "0.json", "0.png", "0.txt") == []
    assert align(tmp_path, "1.JPG", "1.JPEG.txt", image_id=1) == []
    assert align(tmp_path, "2.image", image_id="2") == []


def test_the_file_that_was_opened_is_named(tmp_path: Path) -> None:
    assert align(tmp_path, "0.caption") == ["DIR/filter_cap.json, record 0: not an image (text): DIR/image/0.caption"]


@pytest.mark.parametrize("image_id", ["/etc/passwd", "../x", "", "a\0b", "x" * 999, "\ud83d", "[", "**", {"a": 1}])
def test_image_ids_that_are_no_name(image_id: object, tmp_path: Path) -> None:
    assert len(align(tmp_path, image_id=image_id)) == 1


# --- JSON and JSON lines, encodings ---


@pytest.mark.parametrize("content", [
    json.dumps([{"image": "a.png"}] * 9, indent=1), json.dumps([{"image": "a.png"}]), "\ufeff[]", "\n\n  [\n",
])
def test_a_json_list_where_lines_are_wanted(content: str, tmp_path: Path) -> None:
    sentence = refusal(tmp_path, "texts.json", content.encode(), "image_jsonl")
    assert sentence.startswith("DIR/texts.json: is one JSON list, not a JSON object per line;")
    with pytest.raises(UserError, match="is one JSON list") as error:
        read_own_texts(tmp_path, tmp_path / "texts.json")
    assert not isinstance(error.value, UserErrors)


def test_an_object_over_several_lines(tmp_path: Path) -> None:
    content = json.dumps({"annotations": []}, indent=1).encode()
    assert "is JSON spread over lines" in refusal(tmp_path, "texts.json", content, "image_jsonl")


def test_lines_where_a_json_list_is_wanted(tmp_path: Path) -> None:
    lines = "\n".join(json.dumps({"image": "a.png", "conversations": TURNS}) for _ in range(3)).encode()
    assert refusal(tmp_path, "t.jsonl", lines, "llava_instruct") == (
        "DIR/t.jsonl:2: has a JSON object per line, and one list of all is wanted here; read it with the data set "
        "image_jsonl, or write [ before, commas between and ] behind the objects")
    assert "is not a list and has no list under 'annotations', but one object with image, conversations" in refusal(
        tmp_path, "t.jsonl", lines.split(b"\n")[0], "llava_instruct")
    (tmp_path / "t.json").write_text("[]")
    with pytest.raises(UserError, match="is JSON, and one text a line is wanted"):
        build_dataset("plain_text", DatasetConfig(build_info=BuildInfo(storage=str(tmp_path / "t.json"))))


@pytest.mark.parametrize("builder", ["image_jsonl", "llava_instruct"])
@pytest.mark.parametrize(("content", "said"), [
    ("[]".encode("utf-16"), "is UTF-16 text, not UTF-8; save the file as UTF-8"),
    ("[]".encode("utf-32"), "is UTF-32 text, not UTF-8"), ("[{}]".encode("utf-16-le"), "contains null characters"),
    (b"\x1f\x8b\x08", "is no text but a gzip file"), (b"PK\3\4", "is no text but a ZIP file"),
    (b"PAR1", "is no text but a Parquet file"),
])
def test_other_encodings_and_packed_files_are_named(content: bytes, said: str, builder: str, tmp_path: Path) -> None:
    assert said in refusal(tmp_path, "texts.json", content, builder)


def test_text_that_is_no_utf8_names_its_line(tmp_path: Path) -> None:
    content = '[\n{"caption":\n"Grün"}]'.encode("latin-1")
    assert refusal(tmp_path, "t.json", content, "llava_instruct") == (
        "DIR/t.json:3: is not UTF-8 text (byte 0xfc); save the file as UTF-8")


def test_a_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(image_bytes())
    (tmp_path / "captions.jsonl").write_text('\ufeff{"image": "a.png", "caption": "x"}\n')
    dataset = build_indexed("image_jsonl", DatasetConfig(build_info=BuildInfo(storage=str(tmp_path))), "train")
    assert isinstance(dataset.sample(0), Sample)
    (tmp_path / "prompts.txt").write_text("\ufeff<Img><ImageHere></Img> What?\n")
    assert read_prompts(str(tmp_path / "prompts.txt")) == ("<Img><ImageHere></Img> What?",)
    members = {"0.png": image_bytes(), "0.txt": "\ufeffa rose".encode()}
    sample = open_shards("own", str(write_tar(tmp_path / "a.tar", members)), Identity()).sample(0)
    assert isinstance(sample, Sample) and sample.conversation.turns[1].text == "a rose"


def test_prompts_that_are_no_utf8_or_no_file(tmp_path: Path) -> None:
    file = tmp_path / "prompts.txt"
    file.write_bytes("<ImageHere> What?\n<ImageHere> 请描述\n".encode("gbk"))
    with pytest.raises(UserError, match=r"prompts.txt:2: is not UTF-8 text \(byte 0xc7\); save the file as UTF-8"):
        read_prompts(str(file))
    file.write_bytes("<ImageHere> What?\n".encode("utf-16"))
    with pytest.raises(UserError, match="prompts.txt: is UTF-16 text, not UTF-8"):
        read_prompts(str(file))
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(UserError, match="prompts.txt: is a named pipe, not a file"):
        read_prompts(str(file))


@pytest.mark.parametrize("content", ["9" * 9999, "[" * 99_999, '{"a": ' * 99_999])
def test_json_that_python_gives_up_on(content: str, tmp_path: Path) -> None:
    assert ": " in refusal(tmp_path, "t.json", content.encode(), "llava_instruct")
    (tmp_path / "captions.jsonl").write_text("{}\n" + content)
    dataset = build_indexed("image_jsonl", DatasetConfig(build_info=BuildInfo(storage=str(tmp_path))), "train")
    assert isinstance(dataset.sample(1), Unreadable)


@pytest.mark.parametrize("builder", ["image_jsonl", "llava_instruct", "cc_sbu_align", "webdataset"])
def test_data_that_are_a_named_pipe_or_a_folder(builder: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.tar")
    for name, said in (("pipe.tar", "is a named pipe, not a file"), (".", "is a folder|contains no .tar")):
        place = tmp_path / name
        if name == "." and builder == "webdataset":
            (tmp_path / "pipe.tar").unlink()
        info = BuildInfo(storage=str(place if builder == "webdataset" else tmp_path), annotations=str(place))
        with pytest.raises(UserError, match=said):
            build_dataset(builder, DatasetConfig(build_info=info))


# --- tars ---


def unsorted_tar(path: Path, numbers: range) -> Path:
    """All images first, then all texts, as plain tar packs a folder in its own order."""
    return write_tar(path, {**{f"{number:03}.png": image_bytes() for number in numbers},
                            **{f"{number:03}.txt": f"text {number}".encode() for number in numbers}})


def texts(path: Path) -> dict[str, str]:
    """Key -> caption of the samples of a tar."""
    dataset = open_shards("own", str(path), Identity())
    samples = [dataset.sample(number) for number in range(len(dataset))]
    return {sample.id: sample.conversation.turns[1].text for sample in samples if isinstance(sample, Sample)}


def test_members_that_are_not_side_by_side_are_one_sample(tmp_path: Path) -> None:
    assert texts(unsorted_tar(tmp_path / "x.tar", range(12))) == {f"x/{n:03}": f"text {n}" for n in range(12)}


def test_members_of_a_stream_that_are_not_side_by_side_say_what_to_do(tmp_path: Path) -> None:
    path = unsorted_tar(tmp_path / "x.tar", range(2))
    stream = ShardStream.open("own", f"pipe:cat {path}", Identity(), None)
    sentences = [str(entry) for entry in stream.once() if isinstance(entry, Unreadable)]
    assert any("pack the tar with --sort=name" in sentence for sentence in sentences)


def test_names_with_dots_are_pairs_by_their_last_dot(tmp_path: Path) -> None:
    members: Mapping[str, bytes] = {
        "a.v2.png": image_bytes(), "a.v2.txt": b"a", "B.1.PNG": image_bytes(), "B.1.txt": b"b", **pair("c", "c"),
    }
    assert texts(write_tar(tmp_path / "x.tar", members)) == {"x/a.v2": "a", "x/B.1": "b", "x/c": "c"}


def test_members_that_belong_to_no_sample_are_counted_and_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]
                                                                 ) -> None:
    others = {"a.seg.png": b"x", "a.cls": b"1", "b.v2.png": image_bytes(), "README": b"x", "._a.jpg": b"x"}
    members = {**pair("a"), **others}
    index = index_shards([write_tar(tmp_path / "x.tar", members)], tmp_path / "kept")
    assert dict(index.left_out) == {"seg.png": 1, "cls": 1, "v2.png": 1, "": 1, "_a.jpg": 1}
    assert index_shards([tmp_path / "x.tar"], tmp_path / "kept").left_out == index.left_out
    write_tar(tmp_path / "y.tar", {"a.v2.png": image_bytes(), "a.v3.txt": b"x"})
    config = tmp_path / "run.yaml"
    config.write_text(f"datasets: {{webdataset: {{build_info: {{storage: {tmp_path}/y.tar}}}}}}\n")
    assert main(["data", "validate", "--cfg-path", str(config)]) == 1
    printed = capsys.readouterr().out
    assert "0 samples" in printed and "nothing is left to learn from" in printed
    assert "members that belong to no sample: 1 .v2.png, 1 .v3.txt" in printed


def test_a_tar_cut_among_unsorted_members_keeps_whole_samples(tmp_path: Path) -> None:
    whole = unsorted_tar(tmp_path / "x.tar", range(4)).read_bytes()
    third = sum(index_shards([tmp_path / "x.tar"]).range_of(2, "txt"))
    (tmp_path / "cut.tar").write_bytes(whole[: third + 600])
    assert texts(tmp_path / "cut.tar") == {f"cut/{n:03}": f"text {n}" for n in range(3)}


def test_a_header_with_a_size_below_zero_ends_the_shard(tmp_path: Path) -> None:
    content = bytearray(write_tar(tmp_path / "x.tar", {**pair("0"), **pair("1")}).read_bytes())
    second = index_shards([tmp_path / "x.tar"]).range_of(1, "image")[0] - 512
    content[second + 124 : second + 136] = b"\xff" * 10 + b"\xfc\x00"
    header = content[second : second + 512]
    checksum = sum(header[:148]) + 8 * 32 + sum(header[156:])
    content[second + 148 : second + 156] = b"%06o\0 " % checksum
    (tmp_path / "x.tar").write_bytes(content)
    index = index_shards([tmp_path / "x.tar"])
    assert len(index) == 1 and "damaged header" in index.damaged[0].reason


def test_member_names_that_are_no_utf8_can_be_written_down(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "x.tar", "w", format=tarfile.GNU_FORMAT) as tar:
        info = tarfile.TarInfo("b\udcb0.png")
        tar.addfile(info)
    found = read_all(open_shards("own", str(tmp_path / "x.tar"), Identity())).unreadable
    Ledger(tmp_path / "unreadable.jsonl").note(0, found)
    Ledger(tmp_path / "unreadable.jsonl").note(0, found)
    (line,) = (tmp_path / "unreadable.jsonl").read_text().splitlines()
    assert json.loads(line)["id"] == "x/b\\xb0"


def test_a_ledger_on_a_full_disk_goes_on_counting(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    ledger = Ledger(tmp_path / "file" / "unreadable.jsonl")
    ledger.note(0, [Unreadable("1", "x.jsonl:1", "no caption")])
    ledger.note(0, [Unreadable("2", "x.jsonl:2", "no caption")])
    assert ledger.bad == 2 and caplog.text.count("cannot be written") == 1


# --- finetune ---


def test_finetune_names_images_that_are_no_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    lines = [{"image": name, "caption": "x"} for name in ("pipe.png", "x" * 999, "C:\\a.png")]
    (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, lines)))
    with pytest.raises(UserError, match="3 images are not there.*backslashes do not separate folders here"):
        read_own_texts(tmp_path, tmp_path / "t.jsonl")


