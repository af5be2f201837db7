"""Which backends there are, what they lack, and which one is taken."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest
import torch
from weight_files import write_formula_weights

from magicface_core.cli.options import BACKENDS
from magicface_core.conversion.layouts import bisenet, libreface
from magicface_core.downloads.catalogue import BISENET, FACE_ALIGNMENT, LIBREFACE
from magicface_core.downloads.store import Store
from magicface_core.errors import ModelError
from magicface_core.framing.background import background_pose
from magicface_core.perception import AUEstimate, Face, JawPoints, Perception, backends
from magicface_core.perception.backends import (
    TABLES,
    TITLES,
    Backend,
    Part,
    advice,
    backend_states,
    choices,
    choose,
    chosen_name,
    model_folders,
    obstacle,
)
from magicface_core.perception.segmentation import MaskParser

PARTS: tuple[Part, ...] = get_args(Part)


def put(root: Path, name: str | None, content: bytes = b"") -> Path:
    """A file of the catalogue in a model folder."""
    assert name is not None
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder with stand-ins for the weights of BiSeNet and LibreFace."""
    root = tmp_path_factory.mktemp("models")
    for model, layout in ((BISENET, bisenet), (LIBREFACE, libreface)):
        assert model.files[0].converted is not None
        write_formula_weights(root / model.files[0].converted, layout())
    return root


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Say whether optional packages are installed."""

    def say(present: bool) -> None:
        monkeypatch.setattr(backends, "_importable", lambda _: present)

    say(False)
    return say


# --- tables ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", PARTS)
def test_every_part_has_one_embedded_backend_that_needs_nothing(part: Part) -> None:
    table = TABLES[part]
    assert len({backend.name for backend in table}) == len(table)
    (embedded,) = (backend for backend in table if backend.build is None)
    assert embedded.name == "embedded"
    assert embedded.offered
    assert embedded.obstacle(()) is None
    assert TITLES[part]


@pytest.mark.parametrize("part", PARTS)
def test_without_folders_auto_is_embedded(part: Part, installed: Callable[[bool], None]) -> None:
    assert chosen_name(part, folders=()) == "embedded"
    assert choices(part, ()) == ["auto", "embedded"]
    assert obstacle(part, "auto", ()) is None


def test_help_texts_name_the_backends() -> None:
    for part, (_, names, _) in BACKENDS.items():
        for backend in TABLES[part]:  # type: ignore[index]
            assert backend.name in names


# --- what is there --------------------------------------------------------------------------------


def test_auto_takes_what_is_there(full: Path) -> None:
    assert chosen_name("parser", folders=full) == "bisenet"
    assert chosen_name("au_estimator", folders=full) == "libreface"
    assert choices("parser", full) == ["auto", "bisenet", "embedded"]
    assert chosen_name("parser", "embedded", full) == "embedded"


def test_weights_may_lie_in_any_of_several_folders(full: Path, tmp_path: Path) -> None:
    stores = model_folders([tmp_path, Store(full)])
    choice = choose("parser", backends.PARSERS, "auto", stores)
    assert choice.weights == full / str(BISENET.files[0].converted)
    assert chosen_name("parser", folders=[str(tmp_path)]) == "embedded"


def test_the_default_folder_is_the_environments(
    full: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert chosen_name("parser") == "embedded"
    monkeypatch.setenv("MAGICFACE_MODELS", str(full))
    assert chosen_name("parser") == "bisenet"


def test_the_jaw_of_the_mesh_is_preferred(
    tmp_path: Path, installed: Callable[[bool], None]
) -> None:
    installed(True)
    put(tmp_path, FACE_ALIGNMENT.files[0].converted)
    assert choices("jaw", tmp_path) == ["auto", "embedded", "face-alignment"]
    assert chosen_name("jaw", folders=tmp_path) == "embedded"
    assert chosen_name("jaw", "face-alignment", tmp_path) == "face-alignment"


def test_the_authors_package_is_never_taken_unasked(
    tmp_path: Path, installed: Callable[[bool], None]
) -> None:
    installed(True)
    assert chosen_name("au_estimator", folders=tmp_path) == "embedded"
    assert "libreface package" in choices("au_estimator", tmp_path)


# --- what is missing ------------------------------------------------------------------------------


def test_missing_weights_name_the_command(tmp_path: Path) -> None:
    message = obstacle("parser", "bisenet", tmp_path)
    assert message is not None
    assert 'face parser "bisenet" cannot be used yet' in message
    assert "magicface models download bisenet --accept-licence" in message
    assert f'--dir "{tmp_path}"' in message


def test_the_default_folder_needs_no_option() -> None:
    assert "--dir" not in str(obstacle("parser", "bisenet"))


def test_downloaded_but_not_converted(tmp_path: Path) -> None:
    put(tmp_path, BISENET.files[0].target)
    message = str(obstacle("parser", "bisenet", tmp_path))
    assert "magicface models convert bisenet --dir" in message
    assert "accept" not in message


def test_a_missing_package_comes_first(tmp_path: Path, installed: Callable[[bool], None]) -> None:
    message = str(obstacle("jaw", "face-alignment", tmp_path))
    assert 'pip install "face-alignment>=1.5,<2", then magicface models download' in message
    put(tmp_path, FACE_ALIGNMENT.files[0].converted)
    assert str(obstacle("jaw", "face-alignment", tmp_path)).endswith(
        'pip install "face-alignment>=1.5,<2"'
    )


@pytest.mark.parametrize("name", ["", "BiSeNet", "../bisenet", "none"])
def test_unknown_names(name: str) -> None:
    with pytest.raises(ModelError, match="choose one of auto, bisenet, embedded"):
        Perception.load(parser=name)


@pytest.mark.parametrize("part", ["parser", "au_estimator", "jaw"])
def test_what_cannot_be_used_is_refused_at_once(
    part: str, tmp_path: Path, installed: Callable[[bool], None]
) -> None:
    name = {"parser": "bisenet", "au_estimator": "libreface", "jaw": "face-alignment"}[part]
    with pytest.raises(ModelError, match="cannot be used yet"):
        Perception.load(**{part: name}, models=tmp_path)  # type: ignore[arg-type]


def test_links_that_lead_out_are_an_obstacle_and_no_crash(full: Path, tmp_path: Path) -> None:
    weights = put(tmp_path, BISENET.files[0].converted)
    weights.unlink()
    weights.symlink_to(full / str(BISENET.files[0].converted))
    assert chosen_name("parser", folders=tmp_path) == "embedded"
    assert "not a plain file" in str(obstacle("parser", "bisenet", tmp_path))


def test_advice_says_what_auto_takes_and_how_to_get_the_rest(
    full: Path, tmp_path: Path, installed: Callable[[bool], None]
) -> None:
    first, *rest = advice("parser", tmp_path).splitlines()
    assert first == "auto takes embedded now."
    assert len(rest) == 1 and "magicface models download bisenet" in rest[0]
    assert advice("parser", full) == "auto takes bisenet now."


def test_states_of_all_backends(full: Path, installed: Callable[[bool], None]) -> None:
    states = {(state.part, state.name): state for state in backend_states(full)}
    assert len(states) == sum(len(table) for table in TABLES.values())
    assert sum(state.automatic for state in states.values()) == len(TABLES)
    assert states["parser", "bisenet"].automatic
    assert states["parser", "bisenet"].obstacle is None
    assert "pip install" in str(states["jaw", "face-alignment"].obstacle)


# --- in the perception ----------------------------------------------------------------------------


def test_nothing_is_read_before_it_is_needed(full: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("weights were read")

    monkeypatch.setattr("magicface_core.perception.weights.safe_open", refuse)
    monkeypatch.setattr("magicface_core.perception.stack.load_graphs", refuse)
    Perception.load(models=full)


def test_results_carry_the_backends_name(
    full: Path, portrait: torch.Tensor, face_in_portrait: Face
) -> None:
    perception = Perception.load(models=full)
    drawn = background_pose(portrait, face_in_portrait, "face", perception)
    assert (drawn.parser, drawn.jaw) == ("bisenet", "embedded")
    assert set(drawn.mask.unique().tolist()) <= {0.0, 1.0}
    estimate = perception.estimate_aus(face_in_portrait, portrait)
    assert estimate.backend == "libreface"


def test_embedded_by_name_where_better_is_there(
    full: Path, perception: Perception, portrait: torch.Tensor, face_in_portrait: Face
) -> None:
    chosen = Perception.load(parser="embedded", au_estimator="embedded", models=full)
    assert isinstance(chosen.parser, MaskParser)
    mask = perception.face_mask(portrait, face_in_portrait)
    assert torch.equal(chosen.face_mask(portrait, face_in_portrait), mask)
    estimate: AUEstimate = chosen.estimate_aus(face_in_portrait)
    assert estimate == perception.estimate_aus(face_in_portrait)
    assert estimate.backend == "embedded"


def test_damaged_weights_are_no_silent_fallback(tmp_path: Path, portrait: torch.Tensor) -> None:
    put(tmp_path, BISENET.files[0].converted, b"not tensors")
    perception = Perception.load(models=tmp_path)
    with pytest.raises(ModelError, match=r"damaged.*magicface models download bisenet"):
        perception.person_mask(portrait)


def test_the_embedded_jaw_is_the_meshs(
    perception: Perception, portrait: torch.Tensor, face_in_portrait: Face
) -> None:
    points: JawPoints = perception.jaw_points(portrait, face_in_portrait)
    assert (points.jaw == face_in_portrait.jaw).all()
    assert (points.points5 == face_in_portrait.points5).all()


def test_the_device_reaches_the_backend(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, perception: Perception
) -> None:
    seen: list[tuple[Path, torch.device]] = []

    def build(path: Path, device: torch.device) -> MaskParser:
        seen.append((path, device))
        return MaskParser(perception._graphs["selfie"])

    table = (Backend("own", "", build, BISENET, BISENET.files[0]),)
    monkeypatch.setattr("magicface_core.perception.stack.PARSERS", table)
    weights = put(tmp_path, BISENET.files[0].converted)
    own = Perception.load("meta", parser="own", models=tmp_path)
    assert own.parser is own.parser
    assert seen == [(weights, torch.device("meta"))]


@pytest.mark.parametrize("part", BACKENDS)
def test_options_choose_backends(part: str, full: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from magicface_core.cli.options import add_backends, load_perception

    monkeypatch.setenv("MAGICFACE_MODELS", str(full))
    parser = argparse.ArgumentParser()
    add_backends(parser, part)
    flag = BACKENDS[part][0]
    chosen = load_perception(parser.parse_args([flag, "embedded"]))
    assert getattr(chosen, f"_{part}").name == "embedded"
    automatic = load_perception(parser.parse_args([]))
    assert getattr(automatic, f"_{part}").name == chosen_name(part)  # type: ignore[arg-type]
