from __future__ import annotations

import numpy as np
import pytest
import torch
from magicface_training.synthetic import Frame, HeadModel, Identity, sample_identity
from magicface_training.synthetic.head.landmarks import CHIN
from magicface_training.synthetic.head.regions import Part
from magicface_training.synthetic.picture.render import render


def test_same_seed_same_person_also_in_a_fresh_model(
    model: HeadModel, identities: list[Identity], frontal: Frame, renderings: list
) -> None:
    fresh = HeadModel.load()
    assert torch.equal(fresh.occlusion, model.occlusion)
    assert torch.equal(fresh.wrinkles.action_units, model.wrinkles.action_units)
    first = identities[0]
    again = sample_identity(fresh, first.seed)
    assert torch.equal(again.vertices, first.vertices)
    assert torch.equal(again.skin.albedo, first.skin.albedo)
    assert torch.equal(again.mesh.triangles, first.mesh.triangles)
    drawn = render(fresh, again, frontal, 128)
    assert np.array_equal(drawn.image, renderings[0].image)
    assert np.array_equal(drawn.classes, renderings[0].classes)
    assert np.array_equal(drawn.jaw, renderings[0].jaw)


def test_other_seeds_are_other_people(identities: list[Identity]) -> None:
    a, b, c = identities
    for first, second in ((a, b), (b, c), (a, c)):
        assert (first.vertices - second.vertices).norm(dim=1).mean() > 1e-3
        assert (first.skin.albedo - second.skin.albedo).abs().mean() > 0.005


@pytest.fixture(scope="module")
def people(model: HeadModel) -> list[Identity]:
    return [sample_identity(model, seed) for seed in range(100, 110)]


def test_many_identities_stay_plausible(people: list[Identity]) -> None:
    styles = set()
    for identity in people:
        styles.add(identity.appearance.hair_style)
        assert 0.7 < identity.scale < 1.3
        assert identity.traits.race.sum() == pytest.approx(1, abs=1e-5)
        assert identity.expression_gain.shape == (96,)
        assert (identity.expression_gain >= 0).all()
        assert identity.skin.albedo.min() > 0
        assert identity.skin.albedo.max() < 1
        for opacity in (identity.skin.brow, identity.skin.beard):
            assert opacity.min() >= 0
            assert opacity.max() <= 1
        mesh = identity.mesh
        assert mesh.triangles.max() < len(mesh.attributes.template)
        assert len(mesh.part) == len(mesh.triangles) == len(mesh.two_sided)
    assert len(styles) >= 4


def test_beards_only_on_grown_men(people: list[Identity]) -> None:
    beardless = [person for person in people if person.traits.female or person.traits.child]
    assert 0 < len(beardless) < len(people)
    assert not any(person.skin.beard.any() for person in beardless)
    assert any(person.skin.beard.any() for person in people)


def test_lips_are_closed_at_rest(model: HeadModel, identities: list[Identity]) -> None:
    for identity in identities:
        vertices = identity.vertices.numpy()
        widest = max(column.excess(vertices) for column in model.lip_seal.columns)
        assert widest < 0.35


def test_landmarks_run_from_right_to_left(model: HeadModel) -> None:
    template = model.template.numpy()
    jaw = template[model.landmarks.jaw]
    assert (np.diff(jaw[:, 0]) > 0).all()
    assert jaw[:, 2].argmin() == CHIN
    right, left = template[model.landmarks.mouth_corners.numpy()]
    assert right[0] < -0.015
    assert left[0] > 0.015
    assert (model.part[model.landmarks.nose_tip] == Part.BODY).all()


def test_wrinkles_lie_where_the_muscles_are(model: HeadModel) -> None:
    heights = np.abs(model.wrinkles.action_units.numpy())
    z = model.chart.z
    centre = (heights * z).sum((1, 2)) / np.maximum(heights.sum((1, 2)), 1e-9)
    forehead, crow, mouth, chin = centre[0], centre[4], centre[6], centre[8]
    assert forehead > 755 > crow > 690 > mouth > 650 > chin > 620
    assert heights.max() < 3
    assert not heights[10].any()
