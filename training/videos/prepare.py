"""One video to its frame records: decode, cut, detect, judge, crop, read, track."""

from __future__ import annotations

import io
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from magicface_core.files import file_sha256
from magicface_core.framing.background import framed_background
from magicface_core.framing.boxes import box_of
from magicface_core.framing.framing import Framing
from magicface_core.perception import Face, Perception
from magicface_core.perception.backends import Folders, chosen_name
from magicface_core.perception.graph import one_thread
from magicface_core.perception.placing import crop_for_face
from magicface_core.pictures.crop import Crop
from magicface_core.pictures.images import to_tensor, to_uint8
from magicface_core.pictures.resampling import WORKING_SIZE, reduce_to

from .decode import DecodedFrame, OpenVideo, UnreadableVideoError, open_video
from .quality import Measures, measure, unfit_in_crop, unfit_in_frame
from .records import FrameRecord, PreparedVideo, Rejection, Video, VideoSettings
from .scenes import SceneCuts
from .tracking import Tracker

logger = logging.getLogger(__name__)

MOST_FACES = 4  # of a frame, the largest, that are cropped
COMPRESSION = 3  # of PNG, 0..9


def load_perception(
    settings: VideoSettings, device: torch.device | str = "cpu", models: Folders = None
) -> Perception:
    """The perception that the settings name; raises ModelError for a backend that is not there."""
    return Perception.load(
        device, parser=settings.parser, au_estimator=settings.au_backend, models=models
    )


def resolved(settings: VideoSettings, models: Folders = None) -> VideoSettings:
    """The settings with "auto" replaced by the backends that it stands for now."""
    return replace(
        settings,
        au_backend=chosen_name("au_estimator", settings.au_backend, models),
        parser=chosen_name("parser", settings.parser, models),
    )


def prepare_video(video: Video, settings: VideoSettings, perception: Perception) -> PreparedVideo:
    """The records of a video's frames; the same file, settings and device give the same bytes.

    Faces are searched once in every frame looked at. Only the person whom most of the video shows
    is kept. A video that cannot be used comes back with a ``failure`` or with rejections.

    Raises OSError where the disk fails for a reason that may pass.
    """
    try:
        digest = file_sha256(video.path)
    except (FileNotFoundError, PermissionError, IsADirectoryError) as error:
        return PreparedVideo(video, "", failure=f"cannot be read ({error.strerror})")
    if not video.path.stat().st_size:
        return PreparedVideo(video, digest, failure="empty file (0 bytes)")
    try:
        with open_video(video.path) as opened, one_thread(), torch.inference_mode():
            work = _Work(video, settings, perception)
            work.look_at(opened)
    except UnreadableVideoError as error:
        return PreparedVideo(video, digest, failure=str(error))
    return work.result(digest)


class SampleClock:
    """Chooses frames by their time: the first one in each interval."""

    def __init__(self, interval: float) -> None:
        """interval: seconds."""
        self.interval = interval
        self._next = 0.0

    def due(self, time: float) -> bool:
        """Whether a frame of this time, not before the last one asked for, is chosen."""
        if time < self._next - 1e-6:
            return False
        self._next = (math.floor(time / self.interval + 1e-6) + 1) * self.interval
        return True


def sampling_interval(settings: VideoSettings, seconds: float) -> float:
    """Seconds between the frames looked at in a video of so many seconds (0: not known)."""
    interval = 1 / settings.frames_per_second
    if settings.maximum_seconds:
        seconds = min(seconds, settings.maximum_seconds)
    if settings.maximum_frames:
        interval = max(interval, seconds / settings.maximum_frames)
    return interval


@dataclass
class _Work:
    """One video in the making."""

    video: Video
    settings: VideoSettings
    perception: Perception
    tracker: Tracker = field(default_factory=Tracker)
    frames: list[FrameRecord] = field(default_factory=list)
    rejections: list[Rejection] = field(default_factory=list)
    sampled: int = 0
    seconds: float = 0.0
    rotation: int = 0
    size: tuple[int, int] = (0, 0)
    estimator: str = ""
    parser: str = ""

    def look_at(self, opened: OpenVideo) -> None:
        """Go through all frames, and process those that are due."""
        settings = self.settings
        cuts = SceneCuts(settings.scene_change)
        clock = SampleClock(sampling_interval(settings, opened.seconds))
        scene = 0
        for frame in opened.frames():
            if settings.maximum_seconds and frame.time > settings.maximum_seconds:
                break
            self.seconds = frame.time
            scene = cuts.see(frame.thumbnail())
            if clock.due(frame.time):
                self.look_at_frame(frame, scene)
                self.sampled += 1
            if settings.maximum_frames and self.sampled >= settings.maximum_frames:
                break
        if opened.damage is not None:
            self.reject(scene, *opened.damage, "damaged")

    def look_at_frame(self, frame: DecodedFrame, scene: int) -> None:
        """Find the faces of a frame and record those that are fit."""
        picture = to_tensor(frame.picture()).to(self.perception.device)
        self.size = (picture.shape[-1], picture.shape[-2])
        self.rotation = -90 * frame.turned % 360
        faces = self.perception.faces(picture)
        if not faces:
            self.reject(scene, frame.number, frame.time, "no face")
        fit = []
        for face in faces[:MOST_FACES]:
            cropped = self.judged(picture, face, faces)
            if isinstance(cropped, str):
                self.reject(scene, frame.number, frame.time, cropped)
            else:
                fit.append(cropped)
        embeddings = [self.perception.embed(picture, cropped.face) for cropped in fit]
        boxes = [box_of(cropped.face) / (2 * self.size) for cropped in fit]
        tracks = self.tracker.link(scene, frame.time, boxes, embeddings)
        for cropped, embedding, track in zip(fit, embeddings, tracks, strict=True):
            self.frames.append(self.record(frame, scene, track, cropped, embedding))

    def judged(self, picture: Tensor, face: Face, faces: Sequence[Face]) -> _Cropped | str:
        """The crop of a face that is fit, or the reason why it is not."""
        size = (picture.shape[-1], picture.shape[-2])
        crop = crop_for_face(face, size)
        reason = unfit_in_frame(face, faces, crop, self.settings)
        if reason is not None:
            return reason
        pixels = crop.extract(picture, WORKING_SIZE)
        in_crop = face.mapped(crop, WORKING_SIZE)
        measures = measure(pixels, in_crop, crop)
        reason = unfit_in_crop(measures, self.settings)
        return reason or _Cropped(picture, face, crop, pixels, in_crop, measures)

    def record(
        self,
        frame: DecodedFrame,
        scene: int,
        track: int,
        cropped: _Cropped,
        embedding: np.ndarray,
    ) -> FrameRecord:
        """Everything that training wants to know of a face."""
        size = self.settings.picture_size
        aus = self.perception.estimate_aus(cropped.face, cropped.picture)
        framing = Framing(region=self.settings.region)
        background = framed_background(cropped.pixels, cropped.in_crop, framing, self.perception)
        self.estimator, self.parser = aus.backend, background.parser or ""
        measures = cropped.measures
        return FrameRecord(
            video_id=self.video.video_id,
            identity_id=self.video.identity_id,
            scene=scene,
            track=track,
            frame=frame.number,
            time=round(frame.time, 6),
            picture=_png(reduce_to(cropped.pixels, size)),
            background=_png(reduce_to(background.picture, size)),
            mask=_mask_png(reduce_to(background.mask, size)),
            aus=tuple(float(value) for value in aus.intensities.values),
            confidence=tuple(float(value) for value in aus.confidence),
            pose=measures.pose,
            embedding=tuple(float(value) for value in embedding),
            face_width=cropped.face.width,
            sharpness=measures.sharpness,
            occlusion=measures.occlusion,
            outside=measures.outside,
        )

    def reject(self, scene: int, frame: int, time: float, reason: str) -> None:
        self.rejections.append(Rejection(self.video.video_id, scene, frame, round(time, 6), reason))

    def result(self, digest: str) -> PreparedVideo:
        """What was found, of the main person only."""
        main = self.tracker.main_person()
        for record in self.frames:
            if record.track not in main:
                self.reject(record.scene, record.frame, record.time, "other person")
        kept = tuple(record for record in self.frames if record.track in main)
        failure = "" if self.sampled else "no frame can be decoded"
        return PreparedVideo(
            video=self.video,
            sha256=digest,
            frames=kept,
            rejections=tuple(sorted(self.rejections, key=lambda row: (row.frame, row.reason))),
            failure=failure,
            estimator=self.estimator if kept else "",
            parser=self.parser if kept else "",
            seconds=round(self.seconds, 6),
            rotation=self.rotation,
            width=self.size[0],
            height=self.size[1],
            sampled=self.sampled,
        )


@dataclass(frozen=True)
class _Cropped:
    """A face that is fit.

    picture   [1,3,H,W], the frame
    face      in its pixels
    crop      the face's square
    pixels    [1,3,512,512], the crop
    in_crop   the face in pixels of the crop
    measures  of its quality
    """

    picture: Tensor
    face: Face
    crop: Crop
    pixels: Tensor
    in_crop: Face
    measures: Measures


def _png(picture: Tensor) -> bytes:
    """[1,3,S,S] float 0..1 as PNG."""
    return _encoded(Image.fromarray(to_uint8(picture)))


def _mask_png(mask: Tensor) -> bytes:
    """[1,1,S,S] as PNG of one bit a pixel, 1 above one half."""
    return _encoded(Image.fromarray((mask[0, 0] > 0.5).cpu().numpy()))


def _encoded(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", compress_level=COMPRESSION)
    return buffer.getvalue()
