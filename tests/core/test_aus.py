"""Action units: their table, the arithmetic of expressions, text and JSON forms, presets."""

from __future__ import annotations

import json
import math
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
import torch

from magicface_core.aus import ACTION_UNITS, AU_ORDER, DEMO_EDITS, AUDelta, AUVector
from magicface_core.errors import AUError
from magicface_core.expressions.presets import inexpressible, load_presets


def test_order_is_the_one_of_the_released_weights() -> None:
    assert AU_ORDER == (1, 2, 4, 5, 6, 9, 12, 15, 17, 20, 25, 26)
    assert tuple(unit.number for unit in ACTION_UNITS) == AU_ORDER


def test_every_unit_is_described() -> None:
    names = {unit.code: unit.name for unit in ACTION_UNITS}
    assert names["AU12"] == "Lip Corner Puller"
    assert names["AU4"] == "Brow Lowerer"
    for unit in ACTION_UNITS:
        assert unit.name and unit.plain and unit.muscle
    assert len({unit.plain for unit in ACTION_UNITS}) == 12
    labels = {unit.code: unit.label for unit in ACTION_UNITS}
    assert labels["AU12"] == "AU12 smile"
    assert len(set(labels.values())) == 12
    assert max(map(len, labels.values())) <= 18  # what fits beside a slider


def test_values_take_the_place_of_their_unit() -> None:
    delta = AUDelta(AU12=4, AU6=2)
    assert delta.values == (0, 0, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0)
    assert delta.as_dict() == {"AU6": 2.0, "AU12": 4.0}
    assert list(delta.as_dict()) == ["AU6", "AU12"]
    tensor = delta.to_tensor()
    assert tensor.dtype == torch.float32
    assert tensor.tolist() == list(delta.values)


def test_empty_delta_changes_nothing() -> None:
    assert AUDelta().is_zero
    assert AUDelta(AU4=-0.0).is_zero
    assert not AUDelta(AU4=-0.01).is_zero
    assert AUDelta() == AUDelta(AU1=0)


def test_values_are_immutable_and_hashable() -> None:
    delta = AUDelta(AU1=1)
    with pytest.raises(FrozenInstanceError):
        delta.values = (0.0,) * 12  # type: ignore[misc]
    assert {delta: "a"}[AUDelta(AU1=1)] == "a"
    assert AUDelta(AU1=1) != AUVector(AU1=1)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 10.001, -10.001, "4", None, True])
def test_bad_delta_values_are_refused(value: object) -> None:
    with pytest.raises(AUError, match="AU12"):
        AUDelta(AU12=value)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [-0.001, 5.001, math.nan])
def test_bad_intensities_are_refused(value: float) -> None:
    with pytest.raises(AUError, match="AU5"):
        AUVector(AU5=value)


def test_limits_themselves_are_allowed() -> None:
    assert AUDelta(AU1=-10, AU2=10).as_dict() == {"AU1": -10, "AU2": 10}
    assert AUVector(AU1=0, AU2=5).as_dict() == {"AU2": 5}


@pytest.mark.parametrize("name", ["AU7", "AU3", "au12", "12", "smile", "self"])
def test_unknown_unit_is_named_with_the_choices(name: str) -> None:
    with pytest.raises(AUError, match=f"^{name} is not one of the twelve.*AU26"):
        AUDelta(**{name: 1.0})


@pytest.mark.parametrize("values", [[1.0] * 12, np.ones(12, np.float32), torch.ones(12)])
def test_from_values_takes_any_twelve_numbers(values: list[float]) -> None:
    assert AUVector.from_values(values).values == (1.0,) * 12


@pytest.mark.parametrize("values", [[], [1.0] * 11, torch.ones(12, 2), ["a"] * 12])
def test_from_values_refuses_other_shapes(values: list[float]) -> None:
    with pytest.raises(AUError):
        AUDelta.from_values(values)


def test_delta_arithmetic() -> None:
    smile, frown = AUDelta(AU6=2, AU12=4), AUDelta(AU4=3, AU12=-1)
    assert smile + frown == AUDelta(AU4=3, AU6=2, AU12=3)
    assert smile - frown == AUDelta(AU4=-3, AU6=2, AU12=5)
    assert smile * 0.5 == 0.5 * smile == AUDelta(AU6=1, AU12=2)
    assert smile * np.float64(2) == AUDelta(AU6=4, AU12=8)
    assert -smile == AUDelta(AU6=-2, AU12=-4)
    assert (smile - smile).is_zero
    assert str((-AUDelta()).values[0]) == "0.0"


def test_delta_sums_saturate() -> None:
    assert AUDelta(AU1=8) + AUDelta(AU1=8) == AUDelta(AU1=10)
    assert AUDelta(AU1=8) * -3 == AUDelta(AU1=-10)


def test_factor_must_be_a_finite_number() -> None:
    with pytest.raises(AUError, match="factor"):
        AUDelta(AU1=1) * math.nan
    with pytest.raises(TypeError):
        AUDelta(AU1=1) * "2"  # type: ignore[operator]
    with pytest.raises(TypeError):
        AUDelta(AU1=1) + AUVector(AU1=1)  # type: ignore[operator]


def test_target_minus_source_is_the_delta() -> None:
    source, target = AUVector(AU4=1, AU12=0.5), AUVector(AU12=4.5)
    delta = target - source
    assert delta == AUDelta(AU4=-1, AU12=4)
    assert source + delta == target


def test_vector_plus_delta_stays_an_intensity() -> None:
    assert AUVector(AU12=3) + AUDelta(AU12=4, AU4=-2) == AUVector(AU12=5)


@pytest.mark.parametrize(
    "texts",
    [["AU6=2,AU12=4"], ["AU6=2", "AU12=4"], [" au6 = 2 , AU12=4.0,"], ["AU12=+4e0", "AU6=2"]],
)
def test_parse(texts: list[str]) -> None:
    assert AUDelta.parse(texts) == AUDelta(AU6=2, AU12=4)


def test_parse_single_text_and_nothing() -> None:
    assert AUDelta.parse("AU4=-2") == AUDelta(AU4=-2)
    assert AUDelta.parse([]).is_zero


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("AU12", "AU<number>=<value>"),
        ("AU12=", "AU<number>=<value>"),
        ("AU12=four", "AU<number>=<value>"),
        ("=4", "not one of the twelve"),
        ("AU7=1", "not one of the twelve"),
        ("AU12=nan", "finite"),
        ("AU12=11", "-10 to 10"),
        ("AU12=1,AU12=2", "twice"),
        ("AU12=1 AU6=2", "AU<number>=<value>"),
    ],
)
def test_parse_errors_say_what_is_wrong(text: str, message: str) -> None:
    with pytest.raises(AUError, match=message):
        AUDelta.parse([text])


def test_labels() -> None:
    assert AUDelta(AU6=2, AU12=4).label() == "AU6+2 AU12+4"
    assert AUDelta(AU4=-1.5).label() == "AU4-1.5"
    assert AUDelta().label() == "no change"
    assert AUVector(AU12=4).label() == "AU12=4"
    assert AUVector().label() == "neutral"


@pytest.mark.parametrize("values", [AUDelta(AU4=-2.5, AU12=4), AUVector(AU1=3), AUDelta()])
def test_json_round_trip(values: AUDelta | AUVector) -> None:
    text = values.to_json()
    assert json.loads(text)["version"] == 1
    assert type(values).from_json(text) == values


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "other"}, "format"),
        ({"version": 2}, "version 2"),
        ({"kind": "intensity"}, "intensity"),
        ({"aus": [1, 2]}, "aus"),
        ({"aus": {"AU7": 1}}, "AU7"),
        ({"aus": {"AU12": "4"}}, "AU12"),
        ({"aus": {"AU12": 40}}, "-10 to 10"),
        ({"aus": {"self": 1}}, "self"),
    ],
)
def test_edited_json_is_refused(change: dict[str, object], message: str) -> None:
    content = json.loads(AUDelta(AU12=4).to_json()) | change
    with pytest.raises(AUError, match=message):
        AUDelta.from_json(json.dumps(content))


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "[" * 100_000])
def test_what_is_not_an_expression_file_is_refused(text: str) -> None:
    with pytest.raises(AUError):
        AUDelta.from_json(text)


def test_demo_edits_use_the_documented_units() -> None:
    units = {
        name: "+".join(delta.as_dict()).replace("AU", "") for name, delta in DEMO_EDITS.items()
    }
    assert units == {
        "smile": "6+12",
        "surprise": "1+2+5+26",
        "brow lower": "4",
        "frown": "1+4+15",
        "nose wrinkle": "9",
    }


def test_presets_are_valid_distinct_and_honest() -> None:
    presets = load_presets()
    assert list(presets) == ["happy", "sad", "surprised", "angry", "afraid", "disgusted"]
    assert len({preset.delta for preset in presets.values()}) == 6
    for name, preset in presets.items():
        assert preset.name == name
        assert preset.description and preset.missing
        assert not preset.delta.is_zero
    assert "AU7" in presets["afraid"].missing
    assert "AU16" in presets["disgusted"].missing


def test_presets_say_what_cannot_be_expressed() -> None:
    text = " ".join(inexpressible())
    for gap in ("left and right", "AU7", "gaze", "head pose"):
        assert gap in text
