"""The backends of each part of the perception: what they need, what is there, which one is best.

Weights are looked for in model folders (see `models/store.py`); nothing is fetched. "auto" is the
first usable backend of a part's table, and the embedded one, which needs nothing, is always usable.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from ..downloads.catalogue import (
    BISENET,
    FACE_ALIGNMENT,
    INSTALL_FACE_ALIGNMENT,
    LIBREFACE,
    Model,
    ModelFile,
)
from ..downloads.store import Store, default_root
from ..errors import ModelError
from .faces import EMBEDDED

if TYPE_CHECKING:
    import torch

    from .faces import AUEstimator, FaceDetector, FaceParser, JawEstimator, LandmarkEstimator

AUTO = "auto"
Part = Literal["detector", "landmarks", "parser", "jaw", "au_estimator"]
Folder = str | os.PathLike[str] | Store
Folders = Folder | Sequence[Folder] | None
"""Model folders; None for the default one, an empty sequence for none at all."""

T = TypeVar("T")


@dataclass(frozen=True)
class Backend(Generic[T]):
    """A way to do one part of the perception.

    name     as users write it and results carry it
    about    what it is good for
    build    makes the part from its weight file; None for the embedded one
    model    of the catalogue, whose file `weights` must be in a model folder, converted
    package  to be installed: its module, and the command that installs it
    offered  whether "auto" may take it
    """

    name: str
    about: str
    build: Callable[[Path, torch.device], T] | None = None
    model: Model | None = None
    weights: ModelFile | None = None
    package: tuple[str, str] | None = None
    offered: bool = True

    def place(self, stores: Sequence[Store]) -> Path | None:
        """Its weight file, from the first folder that has it; raises ModelError (see `Store`)."""
        if self.weights is None or self.weights.converted is None:
            return None
        found = (store.find(self.weights.converted) for store in stores)
        return next((path for path in found if path is not None), None)

    def obstacle(self, stores: Sequence[Store]) -> str | None:
        """Why it cannot be used and what to do about it; None where it can."""
        steps = []
        if self.package is not None and not _importable(self.package[0]):
            steps.append(self.package[1])
        try:
            if self.model is not None and self.place(stores) is None:
                steps.append(self._fetching(stores))
        except ModelError as error:
            return str(error)
        return ", then ".join(steps) or None

    def _fetching(self, stores: Sequence[Store]) -> str:
        """The command that brings the weights."""
        assert self.model is not None and self.weights is not None
        here = next((s for s in stores if s.find(self.weights.target)), None)
        store = here or (stores[0] if stores else Store(default_root()))
        words = ["magicface models", "convert" if here else "download", self.model.name]
        if self.model.non_commercial and not here:
            words.append("--accept-licence")
        if store.root != default_root():
            words.append(f'--dir "{store.root}"')
        return " ".join(words)


@dataclass(frozen=True)
class Choice(Generic[T]):
    """A backend that can be used, and its weight file (None: it has none)."""

    backend: Backend[T]
    weights: Path | None

    @property
    def name(self) -> str:
        return self.backend.name

    def build(self, device: torch.device) -> T | None:
        """The part, on a device; None for the embedded one. Raises ModelError."""
        if self.backend.build is None:
            return None
        return self.backend.build(self.weights or Path(), device)


# --- the tables, best first -----------------------------------------------------------------------


def _bisenet(path: Path, device: torch.device) -> FaceParser:
    from .bisenet import BiSeNetParser

    return BiSeNetParser.load(path, device)


def _face_alignment(path: Path, device: torch.device) -> JawEstimator:
    from .face_alignment import FaceAlignmentJaw

    return FaceAlignmentJaw.load(path, device)


def _libreface(path: Path, device: torch.device) -> AUEstimator:
    from .libreface import LibreFaceAUEstimator

    return LibreFaceAUEstimator.load(path, device)


def _libreface_package(_: Path, device: torch.device) -> AUEstimator:
    from .libreface_package import InstalledLibreFaceAUEstimator

    return InstalledLibreFaceAUEstimator.load(Path("weights_libreface"), device)  # its own default


DETECTORS: tuple[Backend[FaceDetector], ...] = (
    Backend(EMBEDDED, "BlazeFace, searched in windows"),
)
LANDMARKERS: tuple[Backend[LandmarkEstimator], ...] = (
    Backend(EMBEDDED, "MediaPipe's mesh of 478 points"),
)
PARSERS: tuple[Backend[FaceParser], ...] = (
    Backend(
        "bisenet",
        "BiSeNet, the parser of the paper",
        _bisenet,
        BISENET,
        BISENET.files[0],
    ),
    Backend(EMBEDDED, "MediaPipe's segmenter, and the mesh grown to the hairline by colour"),
)
# The published dots are the jaw of a 3D model. The mesh comes 7.8 pixels of 512 near to them; two
# landmarkers of iBUG's 2D points, the kind of FAN, 8.8 and 12.9. So the mesh is the better guess.
JAWS: tuple[Backend[JawEstimator], ...] = (
    Backend(EMBEDDED, "the mesh's own jaw"),
    Backend(
        "face-alignment",
        "2D-FAN's 68 landmarks; slow without a GPU",
        _face_alignment,
        FACE_ALIGNMENT,
        FACE_ALIGNMENT.files[0],
        ("face_alignment", INSTALL_FACE_ALIGNMENT),
    ),
)
AU_ESTIMATORS: tuple[Backend[AUEstimator], ...] = (
    Backend(
        "libreface",
        "LibreFace, the estimator of the paper",
        _libreface,
        LIBREFACE,
        LIBREFACE.files[0],
    ),
    Backend(EMBEDDED, "blendshapes and the shape of the mesh; estimates, not calibrated"),
    Backend(
        "libreface package",
        "the same through the authors' own package, for comparisons",
        _libreface_package,
        package=(
            "libreface",
            "pip install libreface==0.2.0, in an environment of its own: it pins torch 2.0",
        ),
        offered=False,
    ),
)
TABLES: dict[Part, tuple[Backend[Any], ...]] = {
    "detector": DETECTORS,
    "landmarks": LANDMARKERS,
    "parser": PARSERS,
    "jaw": JAWS,
    "au_estimator": AU_ESTIMATORS,
}
TITLES: dict[Part, str] = {
    "detector": "face detector",
    "landmarks": "face mesh",
    "parser": "face parser",
    "jaw": "jaw points",
    "au_estimator": "AU estimator",
}


# --- choosing -------------------------------------------------------------------------------------


def model_folders(folders: Folders = None) -> tuple[Store, ...]:
    """The folders as stores, the default one where none is said."""
    if folders is None:
        return (Store.open(),)
    several = [folders] if isinstance(folders, str | os.PathLike | Store) else folders
    return tuple(f if isinstance(f, Store) else Store.open(f) for f in several)


def choose(
    part: Part, table: Sequence[Backend[T]], name: str, stores: Sequence[Store]
) -> Choice[T]:
    """The backend of this name, or the best usable one for "auto".

    Raises ModelError for an unknown name, and for one that cannot be used, with what to do.
    """
    if name == AUTO:
        backend = next(b for b in table if b.offered and b.obstacle(stores) is None)
        return Choice(backend, backend.place(stores))
    chosen = next((backend for backend in table if backend.name == name), None)
    if chosen is None:
        known = ", ".join([AUTO, *(backend.name for backend in table)])
        raise ModelError(f'There is no {TITLES[part]} "{name}"; choose one of {known}.')
    obstacle = chosen.obstacle(stores)
    if obstacle is not None:
        raise ModelError(f'The {TITLES[part]} "{name}" cannot be used yet: {obstacle}')
    return Choice(chosen, chosen.place(stores))


def choices(part: Part, folders: Folders = None) -> list[str]:
    """What a list of this part's backends should offer: "auto" and the usable ones."""
    stores = model_folders(folders)
    return [AUTO, *(b.name for b in TABLES[part] if b.obstacle(stores) is None)]


def chosen_name(part: Part, name: str = AUTO, folders: Folders = None) -> str:
    """The backend that `name` stands for now; raises ModelError as `choose` does."""
    return choose(part, TABLES[part], name, model_folders(folders)).name


def obstacle(part: Part, name: str, folders: Folders = None) -> str | None:
    """Why a backend cannot be used, and what to do, as one sentence; None where it can."""
    try:
        choose(part, TABLES[part], name, model_folders(folders))
    except ModelError as error:
        return str(error)
    return None


def advice(part: Part, folders: Folders = None) -> str:
    """What "auto" takes now, and how to get the backends that are not there."""
    stores = model_folders(folders)
    lines = [f"{AUTO} takes {choose(part, TABLES[part], AUTO, stores).name} now."]
    for backend in TABLES[part]:
        missing = backend.obstacle(stores)
        if missing is not None:
            lines.append(f"For {backend.name} ({backend.about}): {missing}")
    return "\n".join(lines)


@dataclass(frozen=True)
class BackendState:
    """One line of a report: `obstacle` is None for a usable backend."""

    part: Part
    name: str
    about: str
    automatic: bool
    obstacle: str | None


def backend_states(folders: Folders = None) -> list[BackendState]:
    """All backends, and which ones "auto" takes."""
    stores = model_folders(folders)
    found = []
    for part, table in TABLES.items():
        best = choose(part, table, AUTO, stores).name
        found += [
            BackendState(part, b.name, b.about, b.name == best, b.obstacle(stores)) for b in table
        ]
    return found


def _importable(module: str) -> bool:
    """Whether an import would find the module; it is not imported."""
    try:
        return importlib.util.find_spec(module) is not None
    except ValueError:  # loaded by unusual means
        return True
