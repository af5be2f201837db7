"""Checks of nodes/backends.py that `test_backends.py` runs inside ComfyUI."""

from __future__ import annotations

from pathlib import Path

import folder_paths
from magicface_pack.magicface_core.downloads.catalogue import BISENET
from magicface_pack.magicface_core.errors import ModelError
from magicface_pack.magicface_core.perception.backends import TABLES as PARTS
from magicface_pack.nodes import backends, files, memory
from magicface_pack.nodes.action_units import AUEstimateNode
from magicface_pack.nodes.face import BackgroundPose


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


def check_validation_says_what_there_is(folder: Path) -> None:
    use_roots(folder)
    assert backends.validate_backend("au_estimator", None) is True
    assert backends.validate_backend("au_estimator", "embedded") is True
    refused = str(backends.validate_backend("au_estimator", "libreface"))
    assert "auto takes embedded now" in refused
    assert f'magicface models download libreface --accept-licence --dir "{folder}"' in refused
    # A saved workflow may name a backend of another version, or of nobody.
    assert "For libreface (" in str(backends.validate_backend("au_estimator", "openface"))


def check_tooltips_name_what_brings_the_best_backend(folder: Path) -> None:
    use_roots(folder)
    for node, part in ((AUEstimateNode, "au_estimator"), (BackgroundPose, "parser")):
        (combo,) = (entry for entry in node.define_schema().inputs if entry.id == "backend")
        best = PARTS[part][0].name
        assert combo.options == backends.backend_choices(part)
        assert f"magicface models download {best}," in combo.tooltip
