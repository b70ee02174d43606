"""Classifiers from names alone."""

import numpy as np
import pytest
from checkpoints import clip_checkpoint, siglip_checkpoint

from candid import models
from candid.errors import InputError


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return models.load(str(clip_checkpoint(tmp_path_factory.mktemp("clip"))))


def test_one_template_gives_the_text_vectors_themselves(clip):
    head = models.zero_shot(clip, ["cat", "red boat"])
    expected = clip.encode_texts(["a photo of a cat.", "a photo of a red boat."])
    np.testing.assert_allclose(head.weights, expected, atol=1e-6)
    assert head.classes == ("cat", "red boat")
    assert (head.scale, head.bias, head.activation) == (clip.scale, 0.0, "softmax")


def test_two_templates_give_the_bisector_of_their_unit_vectors(clip):
    head = models.zero_shot(clip, ["cat", "dog"], templates=["a {}.", "the big {} in art"])
    for row, name in zip(head.weights, ("cat", "dog"), strict=True):
        first, second = clip.encode_texts([f"a {name}.", f"the big {name} in art"])
        assert row @ first == pytest.approx(row @ second, abs=1e-6)
        assert np.linalg.norm(row) == pytest.approx(1, abs=1e-6)
        assert row @ first == pytest.approx(np.sqrt((1 + first @ second) / 2), abs=1e-6)


def test_each_template_has_its_own_head(clip):
    heads = models.zero_shot_each(clip, ["cat", "dog"], templates=models.TEMPLATES)
    assert tuple(heads) == models.TEMPLATES
    for template, head in heads.items():
        alone = models.zero_shot(clip, ["cat", "dog"], templates=[template])
        np.testing.assert_allclose(head.weights, alone.weights, atol=1e-6)


def test_a_sigmoid_model_hands_its_bias_and_activation_on(tmp_path):
    model = models.load(str(siglip_checkpoint(tmp_path)))
    head = models.zero_shot(model, ["cat", "dog"])
    assert (head.scale, head.bias, head.activation) == (model.scale, -7.5, "sigmoid")
    image = np.zeros((40, 40, 3), np.uint8)
    vectors = model.encode_images([image])
    expected = model.scale * vectors @ model.encode_texts(["a photo of a cat.", "a photo of a dog."]).T - 7.5
    np.testing.assert_allclose(head(vectors), expected, atol=1e-4)


def test_a_name_with_braces_is_taken_as_it_is(clip):
    head = models.zero_shot(clip, ["{0}", "{cat}"])
    expected = clip.encode_texts(["a photo of a {0}.", "a photo of a {cat}."])
    np.testing.assert_allclose(head.weights, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("classes", "templates", "message"),
    [
        (["cat", "dog", "cat"], ["a {}"], "'cat' appears more than once"),
        (["cat", " "], ["a {}"], "must not be empty, number 1 is ' '"),
        ([], ["a {}"], "at least one class"),
        (["cat"], [], "at least one class and one template"),
        (["cat"], ["a photo"], r"needs {} where the class name goes, got 'a photo'"),
        (["cat"], ["a {}", "a {}"], "templates must differ"),
        ("cat", ["a {}"], "got one string"),
        (["cat"], "a {}", "got one string"),
    ],
)
def test_names_and_templates_that_make_no_classifier_are_refused(clip, classes, templates, message):
    with pytest.raises(InputError, match=message):
        models.zero_shot(clip, classes, templates=templates)


def test_every_published_template_has_one_place_for_the_name():
    assert all(template.count("{}") == 1 for template in (*models.PLAIN, *models.TEMPLATES))
    assert len(set(models.TEMPLATES)) == 7
