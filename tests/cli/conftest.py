"""What the tests of the command line share: photographs, bad files, folders that refuse writing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from PIL import Image
from skimage import data

from magicface_core.cli import main


class Outcome(NamedTuple):
    """Exit code and what was written to stdout and stderr."""

    code: int
    out: str
    err: str

    @property
    def error_line(self) -> str:
        """The error message, which must be a single line below any usage text."""
        lines = [line for line in self.err.splitlines() if line.startswith("magicface")]
        assert len(lines) == 1, self.err
        assert "Traceback" not in self.err
        return lines[0]


@pytest.fixture
def magicface(capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Run the command line in this process."""

    def run(*words: object) -> Outcome:
        capsys.readouterr()
        code = main([str(word) for word in words])
        return Outcome(code, *capsys.readouterr())

    return run


@pytest.fixture(scope="session")
def faceless(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A picture without a face."""
    path = tmp_path_factory.mktemp("photos") / "faceless.png"
    Image.linear_gradient("L").convert("RGB").resize((320, 240)).save(path)
    return path


@pytest.fixture(scope="session")
def tiny_face(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The astronaut with a face about 35 pixels wide."""
    path = tmp_path_factory.mktemp("photos") / "tiny.png"
    Image.fromarray(data.astronaut()).resize((170, 170)).save(path)
    return path


@pytest.fixture(scope="session")
def two_faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A 4,000-pixel photograph: a large face on the left, a smaller one, mirrored, on the right."""
    portrait = Image.fromarray(data.astronaut())
    canvas = Image.new("RGB", (4000, 2000), (96, 112, 128))
    canvas.paste(portrait.resize((1800, 1800)), (100, 150))
    mirrored = portrait.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    canvas.paste(mirrored.resize((1200, 1200)), (2600, 400))
    path = tmp_path_factory.mktemp("photos") / "two.jpg"
    canvas.save(path, quality=92)
    return path


@pytest.fixture
def read_only(tmp_path: Path) -> Path:
    """A folder that nobody may write to."""
    folder = tmp_path / "read-only"
    folder.mkdir()
    folder.chmod(0o555)
    return folder
