"""Write the API twins and the thumbnails of the workflow templates, by running them.

    PYTHONPATH=tests/support python scripts/workflow_media.py [NAME ...] [--twins-only]

Needs a ComfyUI checkout ($COMFYUI_PATH, $COMFYUI_PYTHON), comfy-cli and websocket-client. The
templates in `workflows/` are the source; `workflows/api/` and the .jpg beside each are made here.
"""

from __future__ import annotations

import argparse
import io
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from comfy_cli.workflow_to_api import convert_ui_to_api
from comfyui_client import Client
from comfyui_graphs import Graph
from comfyui_server import Server, find_installation, make_base
from PIL import Image, ImageSequence

from magicface_core.files import whole_file, write_file

ROOT = Path(__file__).resolve().parent.parent
WORKFLOWS = ROOT / "workflows"
SAMPLES = ROOT / "web" / "samples"
SIDE = 480
MOST_BYTES = 60_000
QUALITIES = (88, 80, 72, 64)
GAP = 4
OWN, NATIVE = "edit_one_portrait", "native_edit"
COMPARISON = ROOT / "web" / "docs" / "images" / "native.jpg"
FACE = (0.18, 0.1, 0.86, 0.78)  # of the sample portrait: left, top, right, bottom

Json = dict[str, Any]
Results = Mapping[str, list[Image.Image]]
"""Pictures by the class of the node that showed or saved them."""


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="workflow_media", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="templates; all when left out")
    parser.add_argument("--twins-only", action="store_true", help="run nothing")
    args = parser.parse_args(argv)
    names = args.names or sorted(path.stem for path in WORKFLOWS.glob("*.json"))
    with tempfile.TemporaryDirectory() as folder:
        base = make_base(Path(folder), {"ComfyUI-MagicFace": ROOT})
        shutil.copytree(SAMPLES, base / "input", dirs_exist_ok=True)
        with Server(find_installation(), base) as server:
            client = Client(server.address)
            for name in names:
                twin = write_twin(name, client.schemas)
                if args.twins_only:
                    continue
                found = results(client, twin)
                save_thumbnail(THUMBNAILS[name](found), name)
                if name == NATIVE:
                    own = json.loads((WORKFLOWS / "api" / f"{OWN}.json").read_text("utf-8"))
                    with whole_file(COMPARISON) as unfinished:
                        picture = compare(results(client, own), found)
                        picture.save(unfinished, "JPEG", quality=QUALITIES[0])
    return 0


def write_twin(name: str, schemas: Mapping[str, Any]) -> Json:
    """Convert a template to the API format, next to it in `api/`."""
    template = json.loads((WORKFLOWS / f"{name}.json").read_text(encoding="utf-8"))
    twin: Json = convert_ui_to_api(template, dict(schemas))
    text = json.dumps(twin, indent=2, ensure_ascii=False) + "\n"
    (WORKFLOWS / "api").mkdir(exist_ok=True)
    write_file(WORKFLOWS / "api" / f"{name}.json", text)
    return twin


def results(client: Client, twin: Json) -> Results:
    """Run a twin and fetch every picture that it shows or saves."""
    run = client.succeed(Graph(client.schemas, twin))
    found: dict[str, list[Image.Image]] = {}
    for node, output in run.outputs.items():
        pictures = found.setdefault(twin[node]["class_type"], [])
        for entry in output.get("images", []):
            pictures += frames(client.view(entry))
    return found


def frames(file: bytes) -> Iterator[Image.Image]:
    with Image.open(io.BytesIO(file)) as picture:
        for frame in ImageSequence.Iterator(picture):
            yield frame.convert("RGB")


# --- one picture for each template -------------------------------------------------------------


def sample(name: str) -> Image.Image:
    with Image.open(SAMPLES / name) as picture:
        return picture.convert("RGB")


def before_and_after(found: Results) -> Image.Image:
    """The face before on the left, after on the right."""
    before, after = sample("magicface_portrait.jpg"), found["SaveImage"][0]
    result = Image.new("RGB", (SIDE, SIDE), "white")
    width = (SIDE - GAP) // 2
    for place, picture in enumerate((before, after)):
        narrow = picture.resize((width, SIDE), Image.Resampling.LANCZOS, box=middle(picture))
        result.paste(narrow, (place * (width + GAP), 0))
    return result


def compare(own: Results, native: Results) -> Image.Image:
    """The portrait, MagicFace Sampler's edit and KSampler's, side by side."""
    side = SIDE // 2
    faces = [sample("magicface_portrait.jpg"), own["SaveImage"][0], native["SaveImage"][0]]
    result = Image.new("RGB", (3 * side + 2 * GAP, side), "white")
    for column, picture in enumerate(faces):
        result.paste(close_up(picture, side), (column * (side + GAP), 0))
    return result


def copied(found: Results) -> Image.Image:
    """The portrait before and after, with the photo that showed the expression."""
    picture = before_and_after(found)
    inset = framed(close_up(sample("magicface_smile.jpg"), SIDE // 4))
    picture.paste(inset, ((SIDE - inset.width) // 2, SIDE - inset.height - GAP))
    return picture


def grid(found: Results) -> Image.Image:
    """The middle of the sheet."""
    return fitted(found["SaveImage"][0], SIDE, SIDE)


def attention(found: Results) -> Image.Image:
    """The upper part of the sheet."""
    sheet = found["SaveImage"][0]
    return fitted(sheet.crop((0, 0, sheet.width, min(sheet.size))), SIDE, SIDE)


def animation(found: Results) -> Image.Image:
    """Four moments."""
    played = found["SaveAnimatedWEBP"]
    return tiles([played[len(played) * moment // 14] for moment in (0, 3, 6, 10)])


def filmstrip(found: Results) -> Image.Image:
    """Frames above, the first report below."""
    played = found["SaveAnimatedWEBP"]
    picture = Image.new("RGB", (SIDE, SIDE), "white")
    side = (SIDE - 2 * GAP) // 3
    for column, frame in enumerate(played[: len(played) : max(1, len(played) // 3)][:3]):
        picture.paste(close_up(frame, side), (column * (side + GAP), 0))
    report = found["MagicFace_ExpressionReport"][0]
    height = SIDE - side - GAP
    picture.paste(fitted(report, SIDE, height), (0, side + GAP))
    return picture


THUMBNAILS: Mapping[str, Callable[[Results], Image.Image]] = {
    "attention_maps": attention,
    "edit_one_portrait": before_and_after,
    "copy_expression_from_photo": copied,
    "au_sweep_grid": grid,
    "smile_animation_keyframes": animation,
    "edit_paste_upscale": before_and_after,
    "native_edit": before_and_after,
    "native_lora_upscale": before_and_after,
    "video_frames_and_report": filmstrip,
}


# --- putting pictures together -----------------------------------------------------------------


def close_up(picture: Image.Image, side: int) -> Image.Image:
    """The face of a sample, which all of them have in the same place."""
    width, height = picture.size
    left, top, right, bottom = FACE
    box = (left * width, top * height, right * width, bottom * height)
    return picture.resize((side, side), Image.Resampling.LANCZOS, box=box)


def fitted(picture: Image.Image, width: int, height: int) -> Image.Image:
    """All of a picture on white."""
    scale = min(width / picture.width, height / picture.height)
    size = (round(picture.width * scale), round(picture.height * scale))
    small = picture.resize(size, Image.Resampling.LANCZOS)
    result = Image.new("RGB", (width, height), "white")
    result.paste(small, ((width - size[0]) // 2, (height - size[1]) // 2))
    return result


def middle(picture: Image.Image) -> tuple[float, float, float, float]:
    """The upright half in the middle of a picture."""
    return (picture.width * 0.25, 0, picture.width * 0.75, picture.height)


def tiles(pictures: Sequence[Image.Image]) -> Image.Image:
    """Four pictures, two by two."""
    side = (SIDE - GAP) // 2
    result = Image.new("RGB", (SIDE, SIDE), "white")
    for place, picture in enumerate(pictures):
        left, top = (place % 2) * (side + GAP), (place // 2) * (side + GAP)
        result.paste(close_up(picture, side), (left, top))
    return result


def framed(picture: Image.Image) -> Image.Image:
    result = Image.new("RGB", (picture.width + 2 * GAP, picture.height + 2 * GAP), "white")
    result.paste(picture, (GAP, GAP))
    return result


def save_thumbnail(picture: Image.Image, name: str) -> None:
    """As a JPEG that keeps within the limit. Raises ValueError where none does."""
    for quality in QUALITIES:
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=quality, optimize=True)
        if file.tell() <= MOST_BYTES:
            write_file(WORKFLOWS / f"{name}.jpg", file.getvalue())
            return
    raise ValueError(f"The thumbnail of {name} is larger than {MOST_BYTES} bytes.")


if __name__ == "__main__":
    raise SystemExit(main())
