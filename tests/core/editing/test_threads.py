"""One loaded model, several threads: each gets the picture it would get alone."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import magicface_core
from magicface_core import AUDelta, MagicFace
from magicface_core.attention.maps import record_edit
from magicface_core.network.reference_attention import transformer_blocks
from magicface_core.perception.graph import one_thread
from magicface_core.pictures.images import load_image

PORTRAIT = Path(magicface_core.__file__).parent / "assets" / "portrait.png"
SMILE = AUDelta(AU12=4)
EDITS = 4


def test_threads_share_one_model() -> None:
    portrait = load_image(PORTRAIT)
    model = MagicFace.load("mini", device="cpu")
    pictures = [portrait, portrait.transpose(Image.Transpose.FLIP_LEFT_RIGHT)]
    alone = [np.asarray(model.edit(picture, SMILE).image).astype(int) for picture in pictures]

    def edit(number: int) -> list[int]:
        """The largest difference of each edit from the one made alone."""
        found = [np.asarray(model.edit(pictures[number], SMILE).image) for _ in range(EDITS)]
        return [int(np.abs(picture - alone[number]).max()) for picture in found]

    def record(_: int) -> list[int]:
        prepared = model.prepare(portrait)
        result, maps = record_edit(model, prepared, SMILE)
        assert len(maps.timesteps) == model.checkpoint.info.steps
        return [int(np.abs(np.asarray(result.image) - alone[0]).max())]

    with ThreadPoolExecutor(3) as pool:
        jobs = [pool.submit(edit, 0), pool.submit(edit, 1), pool.submit(record, 0)]
        assert max(difference for job in jobs for difference in job.result()) <= 1
    for network in (model.checkpoint.denoiser, model.checkpoint.id_encoder):
        assert {len(block._forward_pre_hooks) for block in transformer_blocks(network)} == {1}


def test_the_last_to_leave_restores_the_number_of_threads() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        first, second = one_thread(), one_thread()
        first.__enter__()
        second.__enter__()
        first.__exit__(None, None, None)
        assert torch.get_num_threads() == 1
        second.__exit__(None, None, None)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
