"""Where recorded truth, photographs and users' cases lie, and an environment in which every run is alike.

The only file that knows the folders ORACLES, DATA and CASES: the environment variable, else a folder `shared` beside
the checkout, else the small copies in tests/fixtures, which are archives. A folder that is absent or holds nothing
fails the tests that ask for it; none skips.
"""

from __future__ import annotations

import atexit
import importlib.util
import os
import shutil
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

import pytest  # noqa: E402  (the environment must be set before anything reads it)

TESTS = Path(__file__).resolve().parent
PROJECT = TESTS.parent


def _folder(variable: str, name: str) -> Path:
    if variable in os.environ:
        return Path(os.environ[variable]).resolve()
    shared = PROJECT.parent / "shared" / name
    return shared if shared.is_dir() else TESTS / "fixtures" / name


def _unpacked(folder: Path, variable: str) -> Path:
    """The folder itself; what its archives hold, where it holds archives (tests/fixtures/make_subset.py).

    The variable then names the unpacked folder, so that processes started by tests read the same one.
    """
    archives = sorted(folder.glob("*.tar.xz"))
    if not archives:
        return folder
    place = Path(tempfile.mkdtemp(prefix=f"minigpt4_{variable.lower()}_"))
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    for archive in archives:
        with tarfile.open(archive) as opened:
            opened.extractall(place, filter="data")
    os.environ[variable] = str(place)
    return place


FOUND = {name: _folder(name.upper(), name) for name in ("oracles", "data", "cases")}
ORACLES = _unpacked(FOUND["oracles"], "ORACLES")
DATA = _unpacked(FOUND["data"], "DATA")
CASES = _unpacked(FOUND["cases"], "CASES")


def pytest_report_header() -> list[str]:
    return [f"{name}: {folder}" for name, folder in FOUND.items()]


def _existing(folder: Path, variable: str) -> Path:
    if not folder.is_dir() or not any(folder.iterdir()):
        pytest.fail(f"{folder} is absent or empty: set {variable} to the folder that tests should read")
    return folder


@pytest.fixture(scope="session")
def oracles() -> Path:
    """The folder of recorded cases, one folder a system inside."""
    return _existing(ORACLES, "ORACLES")


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of photographs."""
    return _existing(DATA, "DATA")


@pytest.fixture
def user_case(tmp_path: Path) -> Callable[[str], Path]:
    """A writable copy of something that a user tried: its name -> the folder with its README.md and files."""
    def copied(name: str) -> Path:
        target = tmp_path / name
        shutil.copytree(_existing(CASES / name, "CASES"), target)
        for path in (target, *target.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
        return target
    return copied


@pytest.fixture(scope="session")
def project() -> Path:
    """The root of the checkout."""
    return PROJECT


@pytest.fixture(scope="session")
def printed(project: Path) -> Path:
    """Where to write what the commands of the pages print: the variable PRINTED, else output/printed."""
    return Path(os.environ.get("PRINTED", project / "output" / "printed"))


@pytest.fixture(scope="session")
def one_page(project: Path) -> ModuleType:
    """docs/one_page.py, imported: MiniGPT-4 without a line of ours."""
    spec = importlib.util.spec_from_file_location("one_page", project / "docs" / "one_page.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def demo_made(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as a finished `make demo` leaves it (few scenes, one step a stage), made once."""
    from tests.cli.pages import make_demo

    folder = tmp_path_factory.mktemp("demo_made")
    before = Path.cwd()
    os.chdir(folder)
    try:
        make_demo(folder, project)
    finally:
        os.chdir(before)
    return folder


@pytest.fixture
def after_make_demo(demo_made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that folder to work in."""
    folder = tmp_path / "checkout"
    shutil.copytree(demo_made, folder)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Sums are added in one order: the same numbers on every machine and beside any load."""
    import torch

    torch.set_num_threads(1)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """`case` runs over the recorded cases that a test's marker `cases("minigpt4", "loss_*")` names.

    Patterns that meet no file become one test: it reports them as absent (a skip with that reason) where the folder
    holds other cases, and fails where it holds none.
    """
    marker = metafunc.definition.get_closest_marker("cases")
    if marker is None or "case" not in metafunc.fixturenames:
        return
    system, *patterns = marker.args
    folder = ORACLES / system / "cases"
    names = sorted({file.stem for pattern in patterns for file in folder.glob(f"{pattern}.*") if file.stem[0] != "."})
    absent = pytest.mark.skip(reason=f"{folder} does not contain {' or '.join(patterns)}")
    marks = [absent] if any(folder.glob("*.json")) else []
    metafunc.parametrize("case", names or [pytest.param(f"NO_CASE_{'_'.join(patterns)}", marks=marks)])
