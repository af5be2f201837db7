"""Every file that can be downloaded: source, pinned revision, size, checksum, licence, purpose.

A value that is not known to us is None. The first download of such a file then records what came
(see ``records.py``), says so, and every later check compares with that record.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

from ..errors import ModelError

Conversion = Literal["pickle", "half", "prompt"]
HUB = "https://huggingface.co"
BACKENDS = "backends"
"""Folder of the models that are no checkpoints of MagicFace."""
PROMPT_FILE = "official/prompt_embeds.safetensors"
_MARGIN = 1.1

_TARGET = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*")


INSTALL_FACE_ALIGNMENT = 'pip install "face-alignment>=1.5,<2"'
"""The package that the weights of face-alignment need beside them."""


@dataclass(frozen=True)
class ModelFile:
    """One file to download.

    url        https address; ``{revision}`` stands for the revision
    target     where it goes, relative to the model folder, with forward slashes
    about      bytes, rounded, for people and as the base of the limit; ``size`` is exact
    revision   commit of the source; None: the newest, and what came is recorded
    sha256     of the content, hexadecimal
    git_blob   object id of the content in git, for sources that publish only that
    converted  where ``magicface models convert`` puts the safe or smaller form
    """

    url: str
    target: str
    about: int
    revision: str | None = None
    size: int | None = None
    sha256: str | None = None
    git_blob: str | None = None
    converted: str | None = None

    def __post_init__(self) -> None:
        for name in (self.target, self.converted):
            if name is not None and not _TARGET.fullmatch(name):
                raise ModelError(f'"{name}" is no plain relative path; name one inside the folder.')

    @property
    def address(self) -> str:
        """The complete address."""
        return self.url.replace("{revision}", self.revision or "main")

    @property
    def name(self) -> str:
        """File name without folders."""
        return PurePosixPath(self.target).name

    @property
    def limit(self) -> int:
        """Bytes beyond which a download is refused."""
        return self.size if self.size is not None else int(self.about * _MARGIN) + 65536

    @property
    def pinned(self) -> bool:
        """Whether the content is known before the first download."""
        return self.sha256 is not None or self.git_blob is not None


@dataclass(frozen=True)
class Model:
    """A set of files that are useful together.

    products are files that the model's conversion or others' leave beside it; removed with it.
    non_commercial licences must be accepted before a download.
    """

    name: str
    purpose: str
    files: tuple[ModelFile, ...]
    licence: str
    licence_url: str
    non_commercial: bool
    source: str
    conversion: Conversion | None = None
    products: tuple[str, ...] = ()

    @property
    def about(self) -> int:
        """Bytes of all files, rounded where not known exactly."""
        return sum(file.size or file.about for file in self.files)


def find_model(name: str, models: Sequence[Model] | None = None) -> Model:
    """The model of this name; raises ModelError that lists the names."""
    known = {model.name: model for model in (MODELS if models is None else models)}
    if name not in known:
        raise ModelError(f'There is no model "{name}"; choose one of {", ".join(known)}.')
    return known[name]


# --- official MagicFace ---------------------------------------------------------------------------

_MAGICFACE = f"{HUB}/mengtingwei/magicface"
_WEIGHTS = "diffusion_pytorch_model.safetensors"
_HALF_WEIGHTS = "diffusion_pytorch_model.fp16.safetensors"


def _released(part: str, about: int) -> tuple[ModelFile, ModelFile]:
    base = f"{_MAGICFACE}/resolve/{{revision}}/{part}"
    return (
        ModelFile(f"{base}/config.json", f"official/{part}/config.json", about=2_000),
        ModelFile(
            f"{base}/{_WEIGHTS}",
            f"official/{part}/{_WEIGHTS}",
            about=about,
            converted=f"official/{part}/{_HALF_WEIGHTS}",
        ),
    )


OFFICIAL = Model(
    name="official",
    purpose="the authors' MagicFace networks: the quality of the paper, with a VAE and a prompt",
    files=(*_released("denoising_unet", 3_438_300_000), *_released("ID_enc", 3_438_200_000)),
    licence="Apache-2.0 by its model card; built on Stable Diffusion 1.5 (CreativeML OpenRAIL-M)",
    licence_url="https://huggingface.co/mengtingwei/magicface",
    non_commercial=False,
    source=_MAGICFACE,
    conversion="half",
    products=(PROMPT_FILE,),
)


# --- Stable Diffusion 1.5 -------------------------------------------------------------------------

_SD15 = f"{HUB}/stable-diffusion-v1-5/stable-diffusion-v1-5"
_SD15_REVISION = "451f4fe16113bff5a5d2269ed5ad43b0592e9a14"
_OPENRAIL = "CreativeML OpenRAIL-M: any use but those its attachment A forbids"
_OPENRAIL_URL = "https://huggingface.co/spaces/CompVis/stable-diffusion-license"


def _stable_diffusion(
    path: str, about: int, size: int | None = None, sha256: str | None = None
) -> ModelFile:
    return ModelFile(
        f"{_SD15}/resolve/{{revision}}/{path}",
        f"official/{path}",
        about=about,
        revision=_SD15_REVISION,
        size=size,
        sha256=sha256,
    )


SD15_VAE = Model(
    name="sd15-vae",
    purpose="Stable Diffusion 1.5's autoencoder, which the official networks work with",
    files=(
        _stable_diffusion("vae/config.json", about=1_000),
        _stable_diffusion(
            f"vae/{_WEIGHTS}",
            about=334_643_276,
            size=334_643_276,
            sha256="a2b5134f4dbc140d9c11f11cba3233099e00af40f262f136c691fb7d38d2194c",
        ),
    ),
    licence=_OPENRAIL,
    licence_url=_OPENRAIL_URL,
    non_commercial=False,
    source=_SD15,
)

SD15_TEXT_ENCODER = Model(
    name="sd15-text-encoder",
    purpose="needed once, to compute the fixed prompt's embedding; may be removed afterwards",
    files=(
        _stable_diffusion("text_encoder/config.json", about=1_000),
        _stable_diffusion(
            "text_encoder/model.safetensors",
            about=492_265_874,
            size=492_265_874,
            sha256="d008943c017f0092921106440254dbbe00b6a285f7883ec8ba160c3faad88334",
        ),
        _stable_diffusion("tokenizer/vocab.json", about=1_100_000),
        _stable_diffusion("tokenizer/merges.txt", about=530_000),
        _stable_diffusion("tokenizer/special_tokens_map.json", about=1_000),
        _stable_diffusion("tokenizer/tokenizer_config.json", about=1_000),
    ),
    licence=_OPENRAIL,
    licence_url=_OPENRAIL_URL,
    non_commercial=False,
    source=_SD15,
    conversion="prompt",
)


# --- backends of the paper ------------------------------------------------------------------------

_LIBREFACE_REVISION = "7bf7ed7360a01bb5523f4309e8beacb1b403ad2d"
_LIBREFACE_PATH = "AU_Recognition/resnet_disfa_all/DISFA/all/resnet.pt"

LIBREFACE = Model(
    name="libreface",
    purpose="the AU estimator the paper trained and measured with",
    files=(
        ModelFile(
            f"https://raw.githubusercontent.com/ihp-lab/LibreFace/{{revision}}/{_LIBREFACE_PATH}",
            f"{BACKENDS}/libreface/resnet.pt",
            about=45_100_000,
            revision=_LIBREFACE_REVISION,
            git_blob="fd9be02c4c21332529041f68b63e17030b721eaa",
            converted=f"{BACKENDS}/libreface/resnet.safetensors",
        ),
    ),
    licence="USC Research Licence: education, research and non-profit only",
    licence_url="https://github.com/ihp-lab/LibreFace",
    non_commercial=True,
    source="https://github.com/ihp-lab/LibreFace",
    conversion="pickle",
)

BISENET = Model(
    name="bisenet",
    purpose="the face parsing that drew the paper's background masks",
    files=(
        ModelFile(
            f"{HUB}/ManyOtherFunctions/face-parse-bisent/resolve/{{revision}}/79999_iter.pth",
            f"{BACKENDS}/bisenet/79999_iter.pth",
            about=53_289_463,
            revision="0073b233a5a3c4b1377d4dbf49245017938a72b5",
            size=53_289_463,
            sha256="468e13ca13a9b43cc0881a9f99083a430e9c0a38abd935431d1c28ee94b26567",
            converted=f"{BACKENDS}/bisenet/79999_iter.safetensors",
        ),
    ),
    licence="code MIT; trained on CelebAMask-HQ, which is for non-commercial research",
    licence_url="https://github.com/zllrunning/face-parsing.PyTorch",
    non_commercial=True,
    source="https://github.com/zllrunning/face-parsing.PyTorch",
    conversion="pickle",
)

_BLAZEFACE = "https://raw.githubusercontent.com/hollance/BlazeFace-PyTorch/{revision}"
_BLAZEFACE_REVISION = "852bfd8e3d44ed6775761105bdcead4ef389a538"

FACE_ALIGNMENT = Model(
    name="face-alignment",
    purpose="68 face landmarks (FAN) and a face detector (BlazeFace)",
    files=(
        ModelFile(
            "https://www.adrianbulat.com/downloads/python-fan/2DFAN4-11f355bf06.pth.tar",
            f"{BACKENDS}/face-alignment/2DFAN4-11f355bf06.pth.tar",
            about=95_900_000,
            sha256="11f355bf0693120222f5955ce3f9dc8fb5763ebb30a47d7906e509490d32e4aa",
            converted=f"{BACKENDS}/face-alignment/2DFAN4.safetensors",
        ),
        ModelFile(
            f"{_BLAZEFACE}/blazeface.pth",
            f"{BACKENDS}/face-alignment/blazeface.pth",
            about=420_224,
            revision=_BLAZEFACE_REVISION,
            size=420_224,
            sha256="54ecff653feaaaf1f7d44b6aff28fd2fc50e483a4e847563b6dd261369c43ba4",
            converted=f"{BACKENDS}/face-alignment/blazeface.safetensors",
        ),
        ModelFile(
            f"{_BLAZEFACE}/anchors.npy",
            f"{BACKENDS}/face-alignment/anchors.npy",
            about=15_000,
            revision=_BLAZEFACE_REVISION,
        ),
    ),
    licence="code BSD-3-Clause and Apache-2.0; FAN was trained on 300W-LP, research data whose "
    "terms for weights are unclear: treat it as non-commercial",
    licence_url="https://github.com/1adrianb/face-alignment",
    non_commercial=True,
    source="https://github.com/1adrianb/face-alignment",
    conversion="pickle",
)

MODELS: tuple[Model, ...] = (
    OFFICIAL,
    SD15_VAE,
    SD15_TEXT_ENCODER,
    LIBREFACE,
    BISENET,
    FACE_ALIGNMENT,
)
