"""Checks of nodes/backends.py that `test_backends.py` runs inside ComfyUI."""

from __future__ import annotations

from pathlib import Path

import folder_paths
from magicface_pack.magicface_core.errors import ModelError
from magicface_pack.magicface_core.models.catalogue import BISENET
from magicface_pack.nodes import backends, files, memory


def use_roots(*roots: Path) -> None:
    """Model folders as extra_model_paths.yaml would name them."""
    folder_paths.folder_names_and_paths[files.FOLDER] = ([str(root) for root in roots], set())


def put_bisenet(root: Path) -> None:
    """A file in the place of BiSeNet's weights."""
    assert BISENET.files[0].converted is not None
    path = root / BISENET.files[0].converted
    path.parent.mkdir(parents=True)
    path.write_bytes(b"")


def check_only_usable_backends_are_listed(folder: Path) -> None:
    use_roots(folder)
    assert backends.backend_choices("parser") == ["auto", "embedded"]
    assert backends.backend_choices("au_estimator") == ["auto", "embedded"]
    advice = backends.backend_advice("parser")
    assert "auto takes embedded now" in advice
    assert f'magicface models download bisenet --accept-licence --dir "{folder}"' in advice


def check_every_model_folder_counts(folder: Path) -> None:
    use_roots(folder / "first", folder / "second")
    before = backends.backend_fingerprint("parser", "auto")
    put_bisenet(folder / "second")
    assert backends.backend_choices("parser") == ["auto", "bisenet", "embedded"]
    assert backends.missing_backend("parser", "bisenet") is None
    assert (before, backends.backend_fingerprint("parser", "auto")) == ("embedded", "bisenet")
    assert memory.perception()._parser.name == "bisenet"
    assert memory.perception(parser="embedded")._parser.name == "embedded"


def check_a_backend_that_is_not_there(folder: Path) -> None:
    use_roots(folder)
    assert "magicface models download bisenet" in str(backends.missing_backend("parser", "bisenet"))
    assert "choose one of auto" in str(backends.missing_backend("parser", "sam"))
    assert backends.backend_fingerprint("parser", "bisenet") == "bisenet"
    try:
        memory.perception(parser="bisenet")
    except ModelError as error:
        text = str(error)
    assert "download bisenet" in text
