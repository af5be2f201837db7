"""The twelve facial action units (AUs) of MagicFace and the arithmetic of expressions.

Names, numbers and muscles are those of the Facial Action Coding System (P. Ekman, W. V. Friesen,
J. C. Hager, "Facial Action Coding System: the manual", 2002). The set and its order are the
twelve intensity-coded units of DISFA, which MagicFace (arXiv:2501.02260) was trained on.

Two kinds of values, each with twelve numbers in the order of `AU_ORDER`:

- `AUVector`, intensities 0..5 (absent .. maximum): what a face shows.
- `AUDelta`, changes -10..10: what an edit asks for. Positive means stronger.

Deviation from the paper: its Eq. 2 writes the change as identity minus target. The released
weights, and everything here, use target minus identity.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, Any, ClassVar, Self

from .errors import AUError

if TYPE_CHECKING:
    import torch

AU_ORDER: tuple[int, ...] = (1, 2, 4, 5, 6, 9, 12, 15, 17, 20, 25, 26)
JSON_FORMAT = "magicface-aus"
JSON_VERSION = 1


@dataclass(frozen=True)
class ActionUnit:
    """One action unit: FACS number and name, plain words, a word or two, its muscle."""

    number: int
    name: str
    plain: str
    short: str
    muscle: str

    @property
    def code(self) -> str:
        """The usual short name, for instance "AU12"."""
        return f"AU{self.number}"

    @property
    def label(self) -> str:
        """What a slider is called, for instance "AU12 smile"."""
        return f"{self.code} {self.short}"


ACTION_UNITS: tuple[ActionUnit, ...] = (
    ActionUnit(1, "Inner Brow Raiser", "inner brows up", "inner brows", "frontalis, pars medialis"),
    ActionUnit(
        2, "Outer Brow Raiser", "outer brows up", "outer brows", "frontalis, pars lateralis"
    ),
    ActionUnit(
        4,
        "Brow Lowerer",
        "brows down and together",
        "frown",
        "corrugator supercilii, depressor supercilii, depressor glabellae",
    ),
    ActionUnit(
        5, "Upper Lid Raiser", "eyes wide open", "eyes wide", "levator palpebrae superioris"
    ),
    ActionUnit(
        6,
        "Cheek Raiser",
        "cheeks up, eyes narrowed",
        "cheeks up",
        "orbicularis oculi, pars orbitalis",
    ),
    ActionUnit(
        9, "Nose Wrinkler", "wrinkled nose", "nose wrinkle", "levator labii superioris alaeque nasi"
    ),
    ActionUnit(12, "Lip Corner Puller", "smile", "smile", "zygomaticus major"),
    ActionUnit(
        15, "Lip Corner Depressor", "mouth corners down", "corners down", "depressor anguli oris"
    ),
    ActionUnit(17, "Chin Raiser", "chin pushed up", "chin raise", "mentalis"),
    ActionUnit(20, "Lip Stretcher", "lips stretched sideways", "lips wide", "risorius, platysma"),
    ActionUnit(
        25,
        "Lips Part",
        "lips apart",
        "lips apart",
        "depressor labii inferioris, or mentalis and orbicularis oris relaxed",
    ),
    ActionUnit(
        26, "Jaw Drop", "mouth open", "mouth open", "masseter, temporalis, medial pterygoid relaxed"
    ),
)

_SLOTS: dict[str, int] = {unit.code: slot for slot, unit in enumerate(ACTION_UNITS)}


@dataclass(frozen=True, init=False)
class _AUValues:
    """Twelve immutable numbers in `AU_ORDER`, checked against the limits of their kind."""

    values: tuple[float, ...]

    kind: ClassVar[str]
    minimum: ClassVar[float]
    maximum: ClassVar[float]

    def __init__(self, /, **units: float) -> None:
        values = [0.0] * len(AU_ORDER)
        for name, value in units.items():
            values[_slot(name)] = self._checked(name, value)
        object.__setattr__(self, "values", tuple(values))

    @classmethod
    def from_values(cls, values: Iterable[float]) -> Self:
        """Build from twelve numbers in `AU_ORDER` (any sequence, array or 1-D tensor)."""
        numbers = list(values)
        if len(numbers) != len(AU_ORDER):
            raise AUError(
                f"{len(numbers)} AU values given, {len(AU_ORDER)} needed, in the order "
                f"{_all_codes()}."
            )
        return cls(**dict(zip(_SLOTS, numbers, strict=True)))

    @classmethod
    def parse(cls, texts: Iterable[str]) -> Self:
        """Read texts such as "AU12=4" or "AU6=2,AU12=4" (as typed on a command line).

        Raises AUError for an unreadable text, an unknown or repeated AU, or a bad value.
        """
        parts = [texts] if isinstance(texts, str) else texts
        units: dict[str, float] = {}
        for item in (item.strip() for text in parts for item in text.split(",")):
            if not item:
                continue
            name, value = _parse_item(item)
            if name in units:
                raise AUError(f"{name} is given twice; give each AU once.")
            units[name] = value
        return cls(**units)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote. Raises AUError when it is not that."""
        return cls(**_read_json(text, cls.kind))

    @property
    def is_zero(self) -> bool:
        """Whether all twelve values are exactly zero."""
        return not any(self.values)

    def as_dict(self) -> dict[str, float]:
        """The values that are not zero, for instance {"AU6": 2.0, "AU12": 4.0}."""
        return {code: value for code, value in zip(_SLOTS, self.values, strict=True) if value}

    def to_json(self) -> str:
        """One readable JSON object with format, version, kind and the values that are not zero."""
        content = {
            "format": JSON_FORMAT,
            "version": JSON_VERSION,
            "kind": self.kind,
            "aus": self.as_dict(),
        }
        return json.dumps(content, indent=2)

    def to_tensor(self) -> torch.Tensor:
        """The values as float32 tensor [12] on the CPU, in `AU_ORDER`."""
        import torch

        return torch.tensor(self.values, dtype=torch.float32)

    @classmethod
    def _checked(cls, name: str, value: object) -> float:
        number = _as_number(name, value)
        if not cls.minimum <= number <= cls.maximum:
            raise AUError(
                f"{name}={number:g} is outside the range of an AU {cls.kind}: "
                f"give a number from {cls.minimum:g} to {cls.maximum:g}."
            )
        return number + 0.0  # turns -0.0 into 0.0

    @classmethod
    def _saturated(cls, values: Iterable[float]) -> Self:
        return cls.from_values(min(max(value, cls.minimum), cls.maximum) for value in values)


class AUDelta(_AUValues):
    """A change of expression: target minus source, each AU in -10..10; `AUDelta()` changes nothing.

    `AUDelta(AU12=4, AU6=2)` asks for a smile. Sums and multiples saturate at the limits, so
    that chained edits stay valid; values given directly must lie inside them (else AUError).
    """

    kind = "delta"
    minimum = -10.0
    maximum = 10.0

    def __add__(self, other: AUDelta) -> AUDelta:
        if not isinstance(other, AUDelta):
            return NotImplemented
        return self._saturated(a + b for a, b in zip(self.values, other.values, strict=True))

    def __sub__(self, other: AUDelta) -> AUDelta:
        if not isinstance(other, AUDelta):
            return NotImplemented
        return self + -other

    def __mul__(self, factor: float) -> AUDelta:
        if not isinstance(factor, Real):
            return NotImplemented
        scale = _as_number("factor", factor)
        return self._saturated(value * scale for value in self.values)

    __rmul__ = __mul__

    def __neg__(self) -> AUDelta:
        return self.from_values(-value for value in self.values)

    def label(self) -> str:
        """Short text for people: "AU6+2 AU12+4", "AU4-1.5", or "no change"."""
        changes = [f"{code}{value:+g}" for code, value in self.as_dict().items()]
        return " ".join(changes) or "no change"


class AUVector(_AUValues):
    """Intensities of the twelve AUs in a face, each 0 (absent) to 5 (maximum).

    `target - source` is the `AUDelta` between two faces; `source + delta` is the expression it
    asks for, saturated at 0 and 5.
    """

    kind = "intensity"
    minimum = 0.0
    maximum = 5.0

    def __add__(self, delta: AUDelta) -> AUVector:
        if not isinstance(delta, AUDelta):
            return NotImplemented
        return self._saturated(a + b for a, b in zip(self.values, delta.values, strict=True))

    def __sub__(self, other: AUVector) -> AUDelta:
        if not isinstance(other, AUVector):
            return NotImplemented
        return AUDelta.from_values(a - b for a, b in zip(self.values, other.values, strict=True))

    def label(self) -> str:
        """Short text for people: "AU6=2 AU12=4", or "neutral"."""
        intensities = [f"{code}={value:g}" for code, value in self.as_dict().items()]
        return " ".join(intensities) or "neutral"


def _slot(name: str) -> int:
    if name not in _SLOTS:
        raise AUError(f"{name} is not one of the twelve AUs that MagicFace knows: {_all_codes()}.")
    return _SLOTS[name]


def _all_codes() -> str:
    return ", ".join(_SLOTS)


def _as_number(name: str, value: object) -> float:
    if isinstance(value, bool | str) or not hasattr(value, "__float__"):
        raise AUError(f"{name}={value!r} is not a number.")
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise AUError(f"{name} cannot be read as one number: {error}.") from error
    if not math.isfinite(number):
        raise AUError(f"{name}={number} is not a finite number.")
    return number


def _parse_item(item: str) -> tuple[str, float]:
    name, separator, text = item.partition("=")
    try:
        value = float(text)
    except ValueError:
        separator = ""
    if not separator:
        raise AUError(f'"{item}" is not of the form AU<number>=<value>, for instance AU12=4.')
    return name.strip().upper(), value


def _read_json(text: str, kind: str) -> Mapping[str, Any]:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise AUError(f"The expression is not JSON: {error}.") from error
    if not isinstance(content, dict) or content.get("format") != JSON_FORMAT:
        raise AUError(f'Not an expression file: "format" must be "{JSON_FORMAT}".')
    if content.get("version") != JSON_VERSION:
        raise AUError(
            f"Expression file of version {content.get('version')!r}; this program reads "
            f"version {JSON_VERSION}."
        )
    if content.get("kind") != kind:
        raise AUError(f'The expression file holds "{content.get("kind")}" values, not "{kind}".')
    units = content.get("aus")
    if not isinstance(units, dict):
        raise AUError('The expression file has no object "aus" with values such as "AU12": 4.')
    return units


# The edits of `magicface demo`. Down here because building them needs everything above.
DEMO_EDITS: dict[str, AUDelta] = {
    "smile": AUDelta(AU6=4, AU12=4),
    "surprise": AUDelta(AU1=4, AU2=4, AU5=4, AU26=4),
    "brow lower": AUDelta(AU4=4),
    "frown": AUDelta(AU1=4, AU4=4, AU15=4),
    "nose wrinkle": AUDelta(AU9=4),
}
