"""With ComfyUI's own nodes: odd sizes, transparency, boxes, masks, upscalers, blends, videos."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from comfyui_client import Client
from comfyui_graphs import Graph, Link, Node, portrait_edit
from PIL import Image

Pictures = dict[str, np.ndarray]


@pytest.mark.parametrize(("width", "height"), [(401, 263), (263, 401), (1023, 767)])
def test_odd_sizes_keep_every_pixel_outside_the_mask(
    client: Client, graph: Graph, width: int, height: int
) -> None:
    portrait = graph.add("LoadImage", image="portrait.png")
    scaled = graph.add(
        "ImageScale",
        image=portrait,
        upscale_method="bicubic",
        width=width,
        height=height,
        crop="center",
    )
    edit = portrait_edit(graph, scaled, AU12=3.0)
    before, mask = graph.show(scaled), graph.show_mask(edit.pasted[1])
    run = client.succeed(graph)
    (original,), (edited,) = client.pictures(run, before), client.pictures(run, edit.saved)
    inside = client.pictures(run, mask)[0, ..., 0] > 0
    assert edited.shape == (height, width, 3)
    assert np.array_equal(edited[~inside], original[~inside])
    assert inside.any()


def test_load_image_gives_rgb_and_alpha_as_mask(
    client: Client, graph: Graph, source_pictures: Pictures
) -> None:
    edit = portrait_edit(graph, "transparent.png", checkpoint="tiny")
    run = client.succeed(graph)
    assert np.array_equal(client.pictures(run, edit.saved)[0], source_pictures["transparent"])


def test_transparent_pictures_are_edited_over_white(client: Client, graph: Graph) -> None:
    loaded = graph.add("LoadImage", image="transparent.png")
    rgba = graph.add("JoinImageWithAlpha", image=loaded, alpha=loaded[1])
    edit = portrait_edit(graph, rgba, AU12=3.0)
    before, mask = graph.show(rgba), graph.show_mask(edit.pasted[1])
    run = client.succeed(graph)
    (edited,), (original,) = client.pictures(run, edit.saved), client.pictures(run, before)
    inside = client.pictures(run, mask)[0, ..., 0] > 0
    opacity = original[..., 3:] / 255
    over_white = original[..., :3] * opacity + 255 * (1 - opacity)
    assert edited.shape == (512, 512, 3)
    assert np.abs(edited - over_white)[~inside].max() <= 2  # rounded twice
    assert np.abs(edited - over_white)[inside].max() > 10


def test_bounding_box_chooses_the_face(client: Client, graph: Graph) -> None:
    """The smaller face on the right; number 0 is the larger one."""
    box = graph.add("PrimitiveBoundingBox", x=780, y=150, width=130, height=160)
    edit = portrait_edit(graph, "two.png", AU12=3.0)
    graph.set(edit.crop, bounding_box=box)
    mask = graph.show_mask(edit.pasted[1])
    inside = client.pictures(client.succeed(graph), mask)[0, ..., 0] > 0
    columns = np.flatnonzero(inside.any(0))
    assert columns.min() > 600


@pytest.mark.parametrize(
    "boxes",
    [
        [{"x": 780, "y": 150, "width": 130, "height": 160, "label": "face", "score": 0.9}],
        [[{"x": 780, "y": 150, "width": 130, "height": 160}]],
    ],
    ids=["one a frame", "lists of frames"],
)
def test_boxes_as_detectors_give_them(client: Client, graph: Graph, boxes: object) -> None:
    right = graph.add("PrimitiveBoundingBox", x=780, y=150, width=130, height=160)
    listed = graph.add("MagicFaceTest_Boxes", text=json.dumps(boxes))
    image = graph.add("LoadImage", image="two.png")
    model = graph.add("MagicFace_LoadModel", checkpoint="tiny")
    shown = [
        graph.show(graph.add("MagicFace_FaceCrop", model=model, image=image, bounding_box=box))
        for box in (right, listed)
    ]
    run = client.succeed(graph)
    assert np.array_equal(*(client.pictures(run, node) for node in shown))


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        ("face", "A bounding box is a dictionary of x, y, width and height"),
        ({"x": 0, "y": 0, "width": 90}, "A bounding box is a dictionary of x, y, width and height"),
        ({"x": 0, "y": 0, "width": 0, "height": 5}, "above 0"),
        ({"x": 5000, "y": 0, "width": 50, "height": 50}, "outside"),
        ({"x": 0, "y": 560, "width": 60, "height": 60}, "Move the box onto a face"),
        ([{"x": 0, "y": 0, "width": 9, "height": 9}] * 3, "one box, or one for each picture"),
    ],
    ids=["text", "no height", "empty", "outside", "no face in it", "three for two"],
)
def test_boxes_nobody_can_use(client: Client, graph: Graph, boxes: object, message: str) -> None:
    image = graph.add("LoadImage", image="two.png")
    if isinstance(boxes, list):
        image = graph.add("RepeatImageBatch", image=image, amount=2)
    model = graph.add("MagicFace_LoadModel", checkpoint="tiny")
    listed = graph.add("MagicFaceTest_Boxes", text=json.dumps(boxes))
    graph.show(graph.add("MagicFace_FaceCrop", model=model, image=image, bounding_box=listed))
    assert message in client.fail(graph)


def test_own_mask_in_the_crop_limits_the_edit(
    client: Client, graph: Graph, source_pictures: Pictures
) -> None:
    """A mask of the crop's lower half: the eyes and everything above stay."""
    edit = portrait_edit(graph, AU12=3.0)
    lower = graph.add(
        "MaskComposite",
        destination=graph.add("SolidMask", value=0.0, width=256, height=256),
        source=graph.add("SolidMask", value=1.0, width=256, height=128),
        x=0,
        y=128,
        operation="add",
    )
    graph.set(edit.background, mask=lower)
    mask, square = graph.show_mask(edit.pasted[1]), graph.show_mask(edit.crop[2])
    run = client.succeed(graph)
    inside, cut = (client.pictures(run, node)[0, ..., 0] > 0 for node in (mask, square))
    edited, original = client.pictures(run, edit.saved)[0], source_pictures["portrait"]
    assert np.array_equal(edited[~inside], original[~inside])
    assert not np.array_equal(edited, original)
    rows, all_rows = np.flatnonzero(inside.any(1)), np.flatnonzero(cut.any(1))
    assert rows.min() > all_rows.min() + 0.4 * (all_rows.max() - all_rows.min())


def test_own_mask_of_the_whole_picture_limits_paste_back(
    client: Client, graph: Graph, source_pictures: Pictures
) -> None:
    edit = portrait_edit(graph, "two.png", AU12=3.0)
    left = graph.add(
        "MaskComposite",
        destination=graph.add("SolidMask", value=0.0, width=1100, height=640),
        source=graph.add("SolidMask", value=1.0, width=300, height=640),
        x=0,
        y=0,
        operation="add",
    )
    graph.set(edit.pasted, mask=left, feather=0.0)
    (edited,) = client.pictures(client.succeed(graph), edit.saved)
    original = source_pictures["two"]
    assert np.array_equal(edited[:, 300:], original[:, 300:])
    assert not np.array_equal(edited, original)


def test_masks_restrict_a_repainted_person_to_the_face(
    client: Client, graph: Graph, source_pictures: Pictures
) -> None:
    """As Paste Back's help says: the face before and after the edit, joined and widened."""
    edit = portrait_edit(graph, AU12=3.0)
    graph.set(edit.background, region="person")
    whole = graph.show_mask(edit.pasted[1])
    before, after = (
        graph.add("MagicFace_BackgroundPose", face_image=face, crop=edit.crop[1], region="face")
        for face in (edit.crop, edit.sampler)
    )
    both = graph.add(
        "MaskComposite", destination=before[1], source=after[1], x=0, y=0, operation="add"
    )
    wider = graph.add("GrowMask", mask=both, expand=16, tapered_corners=True)
    face_only = graph.add(
        "MagicFace_PasteBack",
        image=edit.image,
        edited=edit.sampler,
        crop=edit.crop[1],
        mask=wider,
    )
    shown, mask = graph.show(face_only), graph.show_mask(face_only[1])
    run = client.succeed(graph)
    inside, person = (client.pictures(run, node)[0, ..., 0] > 0 for node in (mask, whole))
    assert 0.1 < inside.sum() / person.sum() < 0.8
    edited, original = client.pictures(run, shown)[0], source_pictures["portrait"]
    assert np.array_equal(edited[~inside], original[~inside])
    assert not np.array_equal(edited, original)


def test_crop_mask_feeds_mask_nodes(client: Client, graph: Graph) -> None:
    edit = portrait_edit(graph)
    graph.show_mask(graph.add("GrowMask", mask=edit.crop[2], expand=4, tapered_corners=True))
    graph.show_mask(graph.add("InvertMask", mask=edit.background[1]))
    client.succeed(graph)


def test_edit_paste_back_and_upscale_by_a_model(client: Client, graph: Graph) -> None:
    edit = portrait_edit(graph, AU12=3.0)
    loader = graph.add("UpscaleModelLoader", model_name="twice.safetensors")
    larger = graph.show(graph.add("ImageUpscaleWithModel", upscale_model=loader, image=edit.pasted))
    run = client.succeed(graph)
    (small,), (large,) = client.pictures(run, edit.saved), client.pictures(run, larger)
    assert np.array_equal(large[::2, ::2], small)


def test_face_upscaled_before_paste_back(client: Client, graph: Graph) -> None:
    edit = portrait_edit(graph, AU12=3.0)
    loader = graph.add("UpscaleModelLoader", model_name="twice.safetensors")
    larger = graph.add("ImageUpscaleWithModel", upscale_model=loader, image=edit.sampler)
    graph.set(edit.pasted, edited=larger)
    mask = graph.show_mask(edit.pasted[1])
    run = client.succeed(graph)
    assert client.pictures(run, edit.saved).shape == (1, 512, 512, 3)
    assert client.pictures(run, mask).any()


def test_outputs_feed_scaling_blending_and_compositing(client: Client, graph: Graph) -> None:
    edit = portrait_edit(graph, AU12=3.0)
    blended = graph.add(
        "ImageBlend", image1=edit.image, image2=edit.pasted, blend_factor=0.5, blend_mode="normal"
    )
    composed = graph.add(
        "ImageCompositeMasked",
        destination=edit.image,
        source=edit.pasted,
        mask=edit.pasted[1],
        x=0,
        y=0,
        resize_source=False,
    )
    small = graph.add(
        "ImageScale",
        image=edit.sampler,
        upscale_method="lanczos",
        width=100,
        height=100,
        crop="disabled",
    )
    shown = [graph.show(node) for node in (blended, composed, small)]
    run = client.succeed(graph)
    assert [client.pictures(run, node).shape[1] for node in shown] == [512, 512, 100]


def test_latent_output_decodes_with_the_connected_vae(client: Client, graph: Graph) -> None:
    """LATENT as ComfyUI means it: unscaled, so its own VAEDecode gives the sampler's picture."""
    edit = portrait_edit(graph, checkpoint="without-vae", AU12=3.0)
    vae = graph.add("MagicFaceTest_RandomVAE")
    graph.set(edit.model, vae=vae)
    decoded = graph.show(graph.add("VAEDecode", samples=edit.sampler[1], vae=vae))
    drawn = graph.show(
        graph.add(
            "ImageScale",
            image=edit.sampler,
            upscale_method="area",
            width=64,
            height=64,
            crop="disabled",
        )
    )
    run = client.succeed(graph)
    direct, own = client.pictures(run, decoded), client.pictures(run, drawn)
    assert direct.shape == own.shape == (1, 64, 64, 3)
    assert np.abs(direct.astype(int) - own).mean() < 8


def animation(graph: Graph) -> tuple[Node, Link]:
    smile = graph.add("MagicFace_AUDeltaBuilder", AU12=4.0)
    brows = graph.add("MagicFace_AUDeltaBuilder", AU1=3.0)
    first = graph.add("MagicFace_AUKeyframes", target=smile, frames=2, hold=0, and_back=False)
    second = graph.add(
        "MagicFace_AUKeyframes", target=brows, frames=2, hold=0, and_back=True, animation=first
    )
    return second, second[1]


def test_keyframes_become_an_animated_picture(client: Client, graph: Graph) -> None:
    delta, count = animation(graph)
    edit = portrait_edit(graph, delta=delta)
    saved = graph.add("SaveAnimatedWEBP", images=edit.pasted, filename_prefix="smile", fps=8.0)
    shown = graph.show_text(count)
    run = client.succeed(graph)
    (entry,) = run.outputs[saved.id]["images"]
    moving = Image.open(io.BytesIO(client.view(entry)))
    assert moving.n_frames == int(run.text(shown)) == len(client.pictures(run, edit.saved))
    assert moving.n_frames >= 6


def test_frames_become_a_video(client: Client, graph: Graph) -> None:
    edit = portrait_edit(graph, delta=graph.add("MagicFace_AUSweep", start=0.5, steps=4))
    video = graph.add("CreateVideo", images=edit.pasted, fps=8.0)
    saved = graph.add("SaveVideo", video=video, format="mp4", **{"format.codec": "auto"})
    run = client.succeed(graph)
    (entry,) = run.outputs[saved.id]["images"]
    assert client.view(entry)[4:8] == b"ftyp"
