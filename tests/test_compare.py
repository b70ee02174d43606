"""`candid compare`: folders, arrays or saved features in; a report that says what is real, missing and copied."""

import csv
import json

import numpy as np
import pytest
from PIL import Image as Picture

from candid import data, generative, models, workflows
from candid.errors import InputError
from candid.report import Report
from candid.workflows.comparing.measured import CHOICES, NEIGHBOURS

N = 60


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Shapes: reals of two classes; fakes of one class only, some of them copies."""
    root = tmp_path_factory.mktemp("sets")
    random = np.random.default_rng(0)

    def shape(kind):
        image = np.full((48, 48, 3), random.integers(0, 80, 3), np.uint8)
        x, y = random.integers(4, 20, 2)
        side = random.integers(12, 24)
        if kind == "square":
            image[y : y + side, x : x + side] = random.integers(150, 256, 3)
        else:
            for row in range(0, 48, 8):
                image[row : row + 4] = random.integers(100, 256, 3)
        return image

    reals = {kind: [shape(kind) for _ in range(N // 2)] for kind in ("square", "stripes")}
    for kind, images in reals.items():
        (root / "real" / kind).mkdir(parents=True)
        for place, image in enumerate(images):
            Picture.fromarray(image).save(root / "real" / kind / f"{place}.png")
    (root / "fake").mkdir()
    (root / "jpeg").mkdir()
    for place in range(N + 10):
        image = reals["square"][place] if place < 3 else shape("square")
        Picture.fromarray(image).save(root / "fake" / f"{place:03}.png")
        Picture.fromarray(image).save(root / "jpeg" / f"{place:03}.jpg", quality=40)
    return root


@pytest.fixture(scope="module")
def found(folders):
    return workflows.compare(
        models.load("tiny"),
        data.read(folders / "real"),
        {"fake": data.read(folders / "fake")},
        repeats=4,
        cache=False,
    )


def test_every_metric_is_a_row_with_an_interval(found):
    rows = {row.metric: row for row in found.report.content.rows if row.slice == "fake"}
    assert set(rows) >= {"p_precision", "p_recall", "calibrated_p_precision", "density", "coverage", "clipped_density",
                         "frechet", "kernel_distance", "cmmd", "vendi", "authentic", "copies", "realistic",
                         "alpha_precision", "symmetric_recall", "precision_cover"}  # fmt: skip
    assert "frechet_extrapolated" not in rows  # it needs 100 fakes
    for row in rows.values():
        assert row.low <= row.value <= row.high


def test_every_method_can_be_asked_for():
    assert set(NEIGHBOURS) == set(generative.METHODS)
    assert set(NEIGHBOURS) < set(CHOICES)


def test_sets_are_cut_to_one_size_and_it_is_said(found):
    compared = found.found["fake"]
    assert (compared.found.n, compared.found.m, compared.cut) == (N, N, (N, N + 10))
    said = " ".join(reason.text for reason in found.report.content.verdict.reasons)
    assert "Drawn from 60 and 70" in said


def test_numbers_are_those_of_the_library(found):
    compared = found.found["fake"]
    real, fake = compared.real.features.vectors, compared.fake.features.vectors
    rows = {row.metric: row.value for row in found.report.content.rows if row.slice == "fake"}
    assert rows["p_precision"] == generative.probabilistic_precision_recall(real, fake).precision
    assert rows["coverage"] == generative.density_coverage(real, fake, 5).coverage
    assert rows["frechet"] == generative.frechet(real, fake)


def test_what_the_fakes_lack_is_found(found):
    rows = {row.slice: row.value for row in found.report.content.rows if row.metric == "p_recall"}
    assert rows["fake, class: stripes"] < 0.05 < rows["fake, class: square"]
    assert found.report.content.verdict.level == "bad"


def test_copies_are_counted_and_shown(found, folders):
    copies = next(row for row in found.report.content.rows if row.metric == "copies")
    kept = {int(name.removesuffix(".png")) for name in found.found["fake"].fake.features.ids}
    assert copies.value == len(kept & {0, 1, 2}) / N
    figures = {figure.id: figure for section in found.report.content.sections for figure in section.figures}
    assert figures["copies-0-pairs"].items[0].text == "fake, the same vector"
    assert {"fidelity-0-least", "fidelity-0-most", "fidelity-0-bars", "diversity-0-classes"} <= set(figures)


def test_the_command_writes_report_and_tables(run, folders, tmp_path):
    out = tmp_path / "out"
    code, said, _ = run("compare", folders / "real", folders / "fake", "-o", out, "--repeats", 2, "--no-cache")
    assert code == 0
    assert "How real are the fakes?" in said
    with (out / "fakes.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == N
    assert {row["authentic"] for row in rows} <= {"true", "false"}
    assert (out / "reals.csv").is_file()
    assert "data:image/jpeg" in (out / "index.html").read_text()
    assert Report.load(out).content.title.startswith("How far can these generated images")
    code, _, err = run("compare", folders / "real", folders / "fake", "-o", out, "--no-cache")
    assert code == 2
    assert "exist" in err


def test_a_jpeg_set_against_a_png_set_is_told_and_measured_again(run, folders, tmp_path):
    out = tmp_path / "out"
    code, said, _ = run("compare", folders / "real", folders / "jpeg", "-o", out, "--repeats", 2, "--no-cache",
                        "--metrics", "frechet", "--json")  # fmt: skip
    found = json.loads(said)
    assert code == 0
    reasons = " ".join(reason["text"] for reason in found["verdict"]["reasons"])
    assert "reals are PNG 100%, fakes JPEG 100%; both as JPEG 40" in reasons
    slices = {row["slice"] for row in found["rows"] if row["metric"] == "frechet"}
    assert slices == {"jpeg", "jpeg, both as JPEG 40"}


def test_several_sets_are_compared_at_one_size(run, folders, tmp_path):
    out = tmp_path / "out"
    code, said, _ = run("compare", folders / "real", folders / "fake", folders / "jpeg", "-o", out, "--repeats", 2,
                        "--no-cache", "--metrics", "density_coverage")  # fmt: skip
    assert code == 0
    assert "How do the sets compare?" in said
    assert (out / "fakes-2.csv").is_file()


def test_features_and_arrays_need_no_model(run, folders, tmp_path):
    for name in ("real", "fake"):
        assert run("embed", folders / name, "-m", "tiny", "-o", tmp_path / name, "--no-cache")[0] == 0
        np.save(tmp_path / f"{name}.npy", workflows.load_features(tmp_path / name).vectors)
    numbers = []
    for suffix in ("", ".npy"):
        out = tmp_path / f"out{suffix}"
        real, fake = (tmp_path / f"{name}{suffix}" for name in ("real", "fake"))
        code, said, _ = run("compare", real, fake, "-o", out, "--repeats", 2, "--json", "--metrics", "probabilistic")
        assert code == 0
        numbers.append(
            {row["metric"]: row["value"] for row in json.loads(said)["rows"] if row["slice"] != "all inputs"}
        )
    assert numbers[0]["p_precision"] == numbers[1]["p_precision"]
    code, _, err = run("compare", tmp_path / "real", tmp_path / "fake.npy", "-o", tmp_path / "mixed")
    assert code == 2
    assert "features of one model" in err
    code, _, err = run("compare", tmp_path / "real", tmp_path / "fake", "-m", "tiny", "-o", tmp_path / "model")
    assert code == 2
    assert "these are features already" in err


def test_gates_stop_with_1(run, folders, tmp_path):
    given = ("compare", folders / "real", folders / "fake", "--repeats", 2, "--metrics", "probabilistic", "--no-cache")
    assert run(*given, "-o", tmp_path / "a", "--gate", "p_recall@fake>=0.99")[0] == 1
    assert run(*given, "-o", tmp_path / "b", "--gate", "p_recall@fake>=0.01")[0] == 0


def test_bad_input_is_one_line(run, folders, tmp_path):
    code, _, err = run("compare", folders / "real", folders / "fake", "--metrics", "fid", "-o", tmp_path / "a")
    assert (code, err.count("\n")) == (2, 1)
    assert "no metric named fid" in err
    np.save(tmp_path / "flat.npy", np.zeros(5))
    code, _, err = run("compare", tmp_path / "flat.npy", tmp_path / "flat.npy", "-o", tmp_path / "b")
    assert "must hold an n x d array" in err
    code, _, err = run("compare", folders / "real", folders / "absent", "-o", tmp_path / "c")
    assert "no such file or folder" in err
    assert not (tmp_path / "c").exists()
    with pytest.raises(InputError, match="reals is images, which need a model"):
        workflows.compare(None, data.read(folders / "real"), {"fake": data.read(folders / "fake")})
