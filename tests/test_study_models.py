"""The list of the study's models is well-formed, and every name on it is one that `models.load` takes."""

import json
import re
from pathlib import Path

import pytest

from candid import models
from candid.errors import InputError
from candid.files import read_json
from candid.models.source import HUB_ID

FILE = Path(__file__).parents[1] / "recipes" / "vlm_study" / "models.json"
ENTRIES = read_json(FILE, kind="candid-study-models", version=1)["models"]
KINDS = {"vlm", "supervised"}
FACTS = {"name", "kind", "load", "data", "tower", "loss", "evidence"}
MORE = {"figure", "alternatives", "reason"}
OPEN_CLIP = re.compile(r"open_clip:[\w-]+/[a-z0-9_]+")
# Weights trained with QuickGELU: under the plain name of their architecture they run with another activation.
QUICK = re.compile(r"/(openai|metaclip_\w+|dfn2b|yfcc15m|cc12m)$|ViT-B-32\S*/laion400m")


def names(entry):
    return [name for name in (entry["load"], *entry.get("alternatives", ())) if name is not None]


def test_there_are_the_35_of_the_study_and_about_20_comparators():
    kinds = [entry["kind"] for entry in ENTRIES]
    assert set(kinds) == KINDS
    assert kinds.count("vlm") == 35
    assert 18 <= kinds.count("supervised") <= 24


def test_every_entry_has_its_facts_and_no_others():
    for entry in ENTRIES:
        assert FACTS <= entry.keys() <= FACTS | MORE, entry["name"]
        assert all(entry[fact] for fact in FACTS - {"load"}), entry["name"]


def test_names_and_weights_are_there_once():
    assert len({entry["name"] for entry in ENTRIES}) == len(ENTRIES)
    loaded = [name for entry in ENTRIES for name in names(entry)]
    assert len(set(loaded)) == len(loaded)


def test_an_entry_without_a_loader_says_why():
    for entry in ENTRIES:
        assert (entry["load"] is None) == ("reason" in entry), entry["name"]
    assert [entry["name"] for entry in ENTRIES if entry["load"] is None] == ["BLIP", "FLAVA"]


@pytest.mark.parametrize("name", [name for entry in ENTRIES for name in names(entry)])
def test_every_name_is_of_a_form_that_load_takes(name):
    assert OPEN_CLIP.fullmatch(name) or HUB_ID.fullmatch(name)
    if name.startswith("open_clip:") and QUICK.search(name):
        assert "-quickgelu/" in name, "OpenCLIP runs these weights with the wrong activation under this name"


def test_every_matched_dot_has_its_numbers():
    """26 dots of the figure were matched, the rest is a default; before calibration ECE spans 0.015 to 0.327."""
    dots = [entry for entry in ENTRIES if entry["evidence"].startswith("accuracy match")]
    assert len(dots) == 26
    for entry in dots:
        assert 3 < entry["figure"]["accuracy"] < 83
        assert 0.015 <= entry["figure"]["ece"] <= 0.327
    others = [entry for entry in ENTRIES if entry not in dots]
    assert all(entry["evidence"].startswith("default zoo") and "figure" not in entry for entry in others)


def test_training_data_orders_the_raw_calibration_errors_of_the_figure():
    """The pattern the study found: WIT near 0.02, LAION near 0.1, small sets above 0.3."""
    of = {entry["name"]: entry for entry in ENTRIES}
    mean = {
        data: sum(values) / len(values)
        for data in ("WIT", "LAION-400M", "YFCC15M")
        if (values := [e["figure"]["ece"] for e in of.values() if e["data"] == data and "figure" in e])
    }
    assert mean["WIT"] < 0.03 < 0.1 < mean["LAION-400M"] < 0.3 < mean["YFCC15M"]


def test_a_list_that_is_no_list_of_models_is_refused(tmp_path):
    (tmp_path / "other.json").write_text(json.dumps({"format": "something", "version": 1}))
    with pytest.raises(InputError, match="candid-study-models"):
        read_json(tmp_path / "other.json", kind="candid-study-models", version=1)


def test_supervised_comparators_are_of_families_that_have_an_adapter():
    known = {"resnet", "regnet", "efficientnet", "mobilenet_v2", "convnext", "convnextv2", "vit", "swin", "swinv2"}
    known |= {"beit", "dinov2"}
    assert known <= models.MODELS.keys()
