"""Progress, preview frames and interruption while the sampler runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import comfy.latent_formats
import comfy.model_management as mm
import comfy.utils
import latent_preview
from comfy.cli_args import LatentPreviewMethod, args
from PIL import Image

if TYPE_CHECKING:
    from ..magicface_core.editing.sampling import Progress
    from ..magicface_core.network.checkpoint import Checkpoint

PREVIEW_FORMAT = "JPEG"
STABLE_DIFFUSION_CHANNELS = 4  # latents that ComfyUI's own previewers understand

Preview: TypeAlias = tuple[str, Image.Image, int]  # format, picture, longest side when shown


def sampling_progress(checkpoint: Checkpoint) -> Callable[[int, int, Progress | None], None]:
    """A callback for `render`: moves ComfyUI's bar, shows the first face, stops on interrupt."""
    bar = comfy.utils.ProgressBar(1)
    preview = _previewer(checkpoint)

    def report(done: int, total: int, progress: Progress | None) -> None:
        mm.throw_exception_if_processing_interrupted()
        bar.update_absolute(done, total, None if progress is None else preview(progress))

    return report


def _previewer(checkpoint: Checkpoint) -> Callable[[Progress], Preview | None]:
    """Pictures of the predicted clean latents, as the user's preview method asks."""
    from ..magicface_core.editing.rendering import preview_picture

    if args.preview_method == LatentPreviewMethod.NoPreviews:
        return lambda _: None
    own = _latent_previewer(checkpoint)

    def picture(progress: Progress) -> Preview | None:
        decoded = preview_picture(checkpoint, progress.clean)
        if decoded is not None:
            image = Image.fromarray(decoded)
            return PREVIEW_FORMAT, image, latent_preview.MAX_PREVIEW_RESOLUTION
        if own is None:
            return None
        return own.decode_latent_to_preview_image(PREVIEW_FORMAT, progress.clean)

    return picture


def _latent_previewer(checkpoint: Checkpoint) -> Any:
    """ComfyUI's own previewer of Stable Diffusion 1.5 latents, where the latents are such."""
    if checkpoint.latent_channels != STABLE_DIFFUSION_CHANNELS:
        return None
    return latent_preview.get_previewer(checkpoint.device, comfy.latent_formats.SD15())
