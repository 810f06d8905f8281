"""`minigpt4 curate` from end to end on a tiny model, with an endpoint that fails now and then."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from minigpt4.cli.main import main
from minigpt4.curation import curating, endpoint
from minigpt4.curation.journal import Journal
from minigpt4.datasets.builders.cc_sbu_align import AlignRecords
from tests import tiny
from tests.curation.scripted import SLOW, Scripted, reply, scripted
from tests.curation.test_parts import GOOD


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    (folder / "below").mkdir(parents=True)
    for number, name in enumerate(("a.png", "b.png", "below/c.png", "d.png")):
        tiny.image(number).save(folder / name)
    (folder / "e.png").write_bytes(b"no image")
    return folder


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    saved = tiny.model()
    saved.save_bundle(folder, resolved_config=tiny.as_yaml(saved.config), stage="test", step=1)
    return folder


def curate(images: Path, output: Path, script: Scripted | None, *more: str) -> int:
    words = ["curate", str(images), "--output", str(output), "--max-new-tokens", "6", "--device", "cpu", *more]
    if script is not None:
        words += ["--endpoint", script.url, "--endpoint-model", "editor", "--timeout", "0.3"]
    return main(words)


def test_from_images_to_a_data_set_and_on_after_failures(
    tmp_path: Path, images: Path, model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(endpoint, "LONGEST_WAIT", 0.0)
    output = tmp_path / "out"
    bad = [SLOW, (429, b""), (200, b"{"), (500, b"")]
    with scripted(reply(GOOD), *bad, reply("Too short."), reply("NOTHING")) as script:
        assert curate(images, output, script, "--model", str(model)) == 0
    told = capsys.readouterr().out
    assert "5 images: 1 kept, 3 dropped, 1 without an answer of the endpoint" in told
    reasons = {entry.image: entry.dropped for entry in Journal(output)}
    assert reasons["a.png"] == ""
    assert reasons["b.png"] == "the endpoint gave no answer: status 500"
    assert reasons["below/c.png"] == "2 words, fewer than 10"
    assert "nothing sensible" in reasons["d.png"]
    assert reasons["e.png"].startswith("cannot be read: ") and "not an image" in reasons["e.png"]
    tried = Journal(output).get("b.png")
    assert tried is not None and tried.attempts == ("ReadTimeout", "status 429", "broken JSON", "status 500")

    monkeypatch.setattr(curating.DraftWriter, "write", lambda *given: pytest.fail("everything is described"))
    with scripted(reply(GOOD.replace("dog", "cat"))) as script:
        assert curate(images, output, script) == 0, "no model is needed any more"
        assert len(script.asked) == 1, "only what failed is asked again"
    written = json.loads((output / "cc_sbu_align" / "filter_cap.json").read_text())["annotations"]
    assert [each["caption"] for each in written] == [GOOD, GOOD.replace("dog", "cat")]
    read = AlignRecords(output / "cc_sbu_align" / "image")
    assert [read(each).images[0].path.read_bytes() for each in written] == [
        (images / name).read_bytes() for name in ("a.png", "b.png")]
    lines = (output / "cc_sbu_align" / "provenance.jsonl").read_text().splitlines()
    told_of = {json.loads(line)["image"]: json.loads(line) for line in lines}
    assert told_of["a.png"]["image_id"] == "000000" and told_of["a.png"]["drafts"]
    assert told_of["d.png"]["image_id"] is None and told_of["d.png"]["dropped"]


def test_a_short_description_is_continued(tmp_path: Path, images: Path, model: Path) -> None:
    more = ("--model", str(model), "--min-words", "1", "--limit", "2")
    curate(images, tmp_path / "long", None, *more, "--enough-tokens", "1")
    curate(images, tmp_path / "short", None, *more, "--enough-tokens", "500")
    assert [len(entry.drafts) for entry in Journal(tmp_path / "long")] == [1, 1]
    continued = list(Journal(tmp_path / "short"))
    assert [len(entry.drafts) for entry in continued] == [2, 2]
    assert [entry.drafts[0] for entry in continued] == [entry.drafts[0] for entry in Journal(tmp_path / "long")]


def test_an_endpoint_that_refuses_ends_it_and_what_is_described_stays(
    tmp_path: Path, images: Path, model: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    with scripted((401, b"")) as script:
        assert curate(images, tmp_path / "out", script, "--model", str(model)) == 2
    assert "answers with status 401; check address, model and key" in capsys.readouterr().err
    assert len(Journal(tmp_path / "out")) == 5
    assert not (tmp_path / "out" / "cc_sbu_align").exists()


def test_nothing_kept_is_no_data_set(tmp_path: Path, images: Path, model: Path,
                                     capsys: pytest.CaptureFixture[str]) -> None:
    assert curate(images, tmp_path / "out", None, "--model", str(model), "--min-words", "300") == 2
    assert "none of 5 images is kept" in capsys.readouterr().err


def test_an_endpoint_needs_the_name_of_its_model(images: Path, tmp_path: Path,
                                                 capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["curate", str(images), "--output", str(tmp_path / "o"), "--endpoint", "http://localhost:1/v1"]) == 2
    assert "--endpoint-model: is missing" in capsys.readouterr().err
