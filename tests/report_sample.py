"""A realistic report built in code: every kind of figure, numbers from a seeded simulation of a pet classifier."""

import base64
import io

import numpy as np
from PIL import Image

from candid.report import content as c

NAMES = (
    "Abyssinian, Bengal, Birman, Bombay, British Shorthair, Egyptian Mau, Maine Coon, Persian, Ragdoll, Russian Blue, "
    "Siamese, Sphynx, American Bulldog, American Pit Bull Terrier, Basset Hound, Beagle, Boxer, Chihuahua, "
    "English Cocker Spaniel, English Setter, German Shorthaired Pointer, Great Pyrenees, Havanese, Japanese Chin, "
    "Keeshond, Leonberger, Miniature Pinscher, Newfoundland, Pomeranian, Pug, Saint Bernard, Samoyed, "
    "Scottish Terrier, Shiba Inu, Staffordshire Bull Terrier, Wheaten Terrier, Yorkshire Terrier, "
    "a very long class name that somebody "
    "pasted out of a spreadsheet without looking, 柴犬, Größenwahn-Dackel, cat (other), dog (other), <b>none</b>"
)
CLASSES = tuple(NAMES.split(", "))


def sample(*, seed: int = 0, n: int = 3669, classes: tuple[str, ...] = CLASSES) -> c.Content:
    """A whole report on a simulated, overconfident classifier."""
    rng = np.random.default_rng(seed)
    confidence = rng.beta(5.0, 1.3, n)
    right = rng.random(n) < confidence**1.7
    accuracy = float(right.mean())
    return c.Content(
        command="candid audit pets/test -m openai/clip-vit-base-patch32 --ood pets/plants --ood pets/textures "
        "--shift pets/phone -o report",
        created="2026-11-23T09:30:12Z",
        config={
            "data": "pets/test",
            "model": "openai/clip-vit-base-patch32",
            "labels": 1834,
            "keep": 0.95,
            "seed": seed,
        },
        inputs=_inputs(n),
        model=c.ModelCard(
            id="openai/clip-vit-base-patch32",
            revision="3d74acf9a28c67741b2f4f2ea7635f0aaf6f0268",
            preprocessing="9c1f03ab",
            activation="softmax",
            scale=100.0,
            bias=0.0,
            device="cpu",
        ),
        packages={
            "candid-vision": "0.1.0",
            "torch": "2.13.0",
            "transformers": "5.23.0",
            "numpy": "2.4.6",
            "pillow": "13.0.0",
        },
        seed=seed,
        verdict=_verdict(accuracy),
        rows=_rows(rng, n, accuracy, classes),
        sections=(
            _accuracy(rng, classes),
            _calibration(rng, confidence, right),
            _unknown(rng),
            _risk(confidence, right),
            _wrong(rng, classes),
        ),
        cannot_say=(
            "How accuracy differs between groups: the images carry no group column.",
            "Whether a temperature from another data set would have done: no other labelled set was given.",
        ),
    )


def picture(rng: np.random.Generator, size: int = 96) -> str:
    """A small JPEG data URI of soft noise."""
    coarse = Image.fromarray(rng.integers(40, 220, (4, 4, 3), dtype=np.uint8))
    out = io.BytesIO()
    coarse.resize((size, size), Image.Resampling.BICUBIC).save(out, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(out.getvalue()).decode()


def bins(confidence: np.ndarray, right: np.ndarray, count: int = 15) -> tuple[c.Bin, ...]:
    """Equal-width bins with a Wilson interval, empty ones left out."""
    found = []
    for i in range(count):
        inside = (confidence > i / count) & (confidence <= (i + 1) / count)
        if n := int(inside.sum()):
            p, z = float(right[inside].mean()), 1.96
            middle = (p + z * z / (2 * n)) / (1 + z * z / n)
            half = z * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
            found.append(
                c.Bin(
                    low=i / count,
                    high=(i + 1) / count,
                    confidence=float(confidence[inside].mean()),
                    accuracy=p,
                    accuracy_low=max(0.0, middle - half),
                    accuracy_high=min(1.0, middle + half),
                    n=n,
                )
            )
    return tuple(found)


def _inputs(n: int) -> tuple[c.Input, ...]:
    broken = (
        c.SkippedFile(id="beagle/IMG_0042.jpg", reason="truncated: 12 of 48 kB"),
        c.SkippedFile(id="notes.txt", reason="not an image"),
        c.SkippedFile(id="samoyed/<script>alert(1)</script>.png", reason="empty file"),
    )
    known = c.Input(
        role="known",
        name="pets/test",
        path="data/pets/test",
        n=n,
        digest="b1946ac92492d2347c6235b4d2611184",
        labelled=True,
        skipped=broken,
    )
    shift = c.Input(
        role="shift",
        name="phone",
        path="data/pets/phone",
        n=800,
        digest="591785b794601e212b260e25925636fd",
        labelled=True,
    )
    plants = c.Input(
        role="ood",
        name="plants",
        path="data/pets/plants",
        n=1200,
        digest="6f5902ac237024bdd0c176cb93063dc4",
        labelled=False,
    )
    textures = c.Input(
        role="ood",
        name="textures",
        path="data/pets/textures",
        n=640,
        digest="c157a79031e1c40f85931829bc5fc552",
        labelled=False,
    )
    return (known, shift, plants, textures)


def _verdict(accuracy: float) -> c.Verdict:
    return c.Verdict(
        level="bad",
        headline=f"Right in {accuracy:.0%} of these images but surer of itself than it should be; one temperature from "
        "about 100 labels mends that. It often takes textures for pets.",
        reasons=(
            c.Reason(
                rule="Accuracy is good when the low end of its interval is above one half.",
                text=f"Accuracy is {accuracy:.1%}, far above chance (2.3%).",
                level="good",
            ),
            c.Reason(
                rule="Calibration as shipped is good when ECE is at most 0.03, or what a calibrated model would show.",
                text="As shipped it claims 8 points more than it delivers: ECE 0.083 (0.071 to 0.096), where a "
                "calibrated model would show 0.014.",
                level="caution",
            ),
            c.Reason(
                rule="Calibration after one temperature is good when ECE is at most 0.03.",
                text="One temperature, T = 1.53 (1.48 to 1.58), brings ECE to 0.017.",
                level="good",
            ),
            c.Reason(
                rule="Unknown images are bad when more than half pass the threshold that keeps 95% of known ones.",
                text="At the threshold that keeps 95% of known images, 61% of textures pass.",
                level="bad",
            ),
            c.Reason(
                rule="Wording is good when the accuracies of the templates lie within 0.05.",
                text="No second template was given, so how much the wording matters cannot be said.",
                level="unknown",
            ),
        ),
    )


def _rows(rng: np.random.Generator, n: int, accuracy: float, classes: tuple[str, ...]) -> tuple[c.Row, ...]:
    half = 1.96 * float(np.sqrt(accuracy * (1 - accuracy) / n))

    def key(
        metric: str,
        label: str,
        value: float,
        low: float,
        high: float,
        better: c.Better,
        unit: c.Unit = "number",
        of: str = "all",
    ) -> c.Row:
        return c.Row(
            metric=metric,
            slice=of,
            value=value,
            low=low,
            high=high,
            n=n,
            better=better,
            label=label,
            unit=unit,
            key=True,
        )

    rows = [
        key("accuracy", "Accuracy", accuracy, accuracy - half, accuracy + half, "higher", "percent"),
        key("ece", "Calibration error as shipped", 0.0834, 0.0712, 0.0961, "lower"),
        key("ece", "Calibration error, one temperature", 0.0171, 0.0124, 0.0255, "lower"),
        key("temperature", "Temperature", 1.532, 1.481, 1.583, "neither"),
        key("auroc", "Unknown told from known", 0.912, 0.901, 0.922, "higher", of="ood: textures"),
        key("fpr95", "Unknown let in at 95% kept", 0.612, 0.574, 0.649, "lower", "percent", of="ood: textures"),
    ]
    for name in classes:
        value = float(rng.uniform(0.4, 0.99))
        rows.append(
            c.Row(
                metric="accuracy",
                slice=f"class: {name}",
                value=value,
                low=max(0, value - 0.1),
                high=min(1, value + 0.1),
                n=86,
                better="higher",
                unit="percent",
            )
        )
    return tuple(rows)


def _accuracy(rng: np.random.Generator, classes: tuple[str, ...]) -> c.Section:
    values = rng.beta(7, 2, len(classes))
    bars = tuple(
        c.Bar(
            label=name,
            value=float(v),
            low=max(0.0, float(v) - 0.09),
            high=min(1.0, float(v) + 0.07),
            n=int(rng.integers(40, 100)),
        )
        for name, v in zip(classes, values, strict=True)
    )
    confused = c.Table(
        id="confusions",
        title="What is taken for what",
        caption="The most frequent mistakes, as a share of the true class.",
        columns=("truth", "taken for", "times", "share"),
        units=("number", "number", "number", "percent"),
        rows=tuple(
            (classes[int(a)], classes[int(b)], int(k), float(k) / 86)
            for a, b, k in zip(
                rng.integers(0, len(classes), 20), rng.integers(0, len(classes), 20), range(31, 11, -1), strict=True
            )
        ),
    )
    per_class = c.Bars(
        id="per-class",
        title="Accuracy by class",
        caption="Worst first, with 95% intervals. The dashed line is the accuracy over all images.",
        x_label="accuracy",
        unit="percent",
        better="higher",
        bars=bars,
        markers=(c.Marker(axis="x", value=0.78, label="all images"), c.Marker(axis="x", value=1 / 43, label="chance")),
    )
    return c.Section(
        id="accuracy",
        title="How accurate is it?",
        answer="It names the right breed in most images. The weakest classes are those that look alike, "
        "and the long tail of catch-all classes.",
        figures=(per_class, confused),
    )


def _calibration(rng: np.random.Generator, confidence: np.ndarray, right: np.ndarray) -> c.Section:
    mended = confidence**1.7
    diagram = c.Reliability(
        id="reliability",
        title="Confidence against accuracy",
        caption="Each bar is the accuracy of the predictions whose confidence fell in that bin; whiskers are 95% "
        "intervals. A hatched gap is what the model claims beyond what it delivers.",
        series=(
            c.ReliabilitySeries(name="as shipped", bins=bins(confidence, right)),
            c.ReliabilitySeries(name="after one temperature", bins=bins(mended, right)),
        ),
    )
    m = (10, 20, 40, 50, 100, 200, 500, 1000, 1834)
    y = tuple(0.0171 + 0.12 / np.sqrt(k) for k in m)
    needed = c.Lines(
        id="labels-needed",
        title="How many labels the temperature needs",
        caption="Mean and central 95% of 20 draws for each number of labels.",
        x_label="labels",
        y_label="calibration error",
        log_x=True,
        series=(
            c.Line(
                name="temperature from this many labels",
                x=m,
                y=y,
                low=tuple(0.6 * v for v in y),
                high=tuple(1.7 * v for v in y),
            ),
        ),
        markers=(
            c.Marker(axis="y", value=0.0834, label="as shipped"),
            c.Marker(axis="y", value=0.0140, label="if calibrated"),
            c.Marker(axis="x", value=100, label="100 labels are enough"),
        ),
    )
    elsewhere = c.Bars(
        id="elsewhere",
        title="Would another temperature have done?",
        caption="Calibration error on these images with a temperature fitted elsewhere.",
        x_label="calibration error",
        better="lower",
        bars=(
            c.Bar(label="own temperature", value=0.017, low=0.012, high=0.026, n=1835),
            c.Bar(label="from phone", value=0.041, low=0.033, high=0.052, n=1835),
            c.Bar(label="none", value=0.083, low=0.071, high=0.096, n=1835),
        ),
    )
    return c.Section(
        id="calibration",
        title="Can its confidence be believed?",
        answer="Not as shipped. It claims 8 points more than it delivers, nearly everywhere.\n"
        "One temperature, fitted on labels the report then leaves out, mends most of it.",
        figures=(diagram, needed, elsewhere),
    )


def _unknown(rng: np.random.Generator) -> c.Section:
    edges = np.linspace(-1.0, 0.0, 31)
    sets = {"pets/test": -rng.beta(5, 1.3, 1835), "plants": -rng.beta(2, 4, 1200), "textures": -rng.beta(3.2, 2.2, 640)}
    series = tuple(
        c.Counts(name=name, shares=tuple(float(s) for s in np.histogram(scores, edges)[0] / len(scores)), n=len(scores))
        for name, scores in sets.items()
    )
    scores = c.Histogram(
        id="scores",
        title="Outlier scores",
        caption="Right of the line an image would be refused.",
        x_label="negative largest probability",
        edges=tuple(float(e) for e in edges),
        series=series,
        markers=(
            c.Marker(axis="x", value=-0.41, label="keeps 95% of known"),
            c.Marker(axis="x", value=-0.30, label="keeps 99% of known"),
        ),
    )
    detectors = c.Table(
        id="detectors",
        title="Every detector, every set",
        caption="AUROC and the shares let in.",
        columns=("detector", "set", "AUROC", "FPR95, known positive", "FPR95, unknown positive"),
        rows=tuple(
            (
                d,
                s,
                float(rng.uniform(0.7, 0.97)),
                float(rng.uniform(0.2, 0.6)),
                None if d == "mcm" else float(rng.uniform(0.2, 0.6)),
            )
            for d in ("msp", "energy", "max_logit", "entropy", "mcm")
            for s in ("plants", "textures")
        ),
    )
    return c.Section(
        id="unknown",
        title="Does it notice what it does not know?",
        answer="Plants, mostly. Textures often pass for pets.",
        figures=(scores, detectors),
    )


def _risk(confidence: np.ndarray, right: np.ndarray) -> c.Section:
    order = np.argsort(-confidence)
    coverage = np.arange(1, len(order) + 1) / len(order)
    risk = np.cumsum(~right[order]) / np.arange(1, len(order) + 1)
    half = 1.96 * np.sqrt(risk * (1 - risk) / np.arange(1, len(order) + 1))
    curve = c.Line(
        name="this model",
        x=tuple(coverage[50:].tolist()),
        y=tuple(risk[50:].tolist()),
        low=tuple(np.maximum(risk - half, 0)[50:].tolist()),
        high=tuple((risk + half)[50:].tolist()),
    )
    best = np.maximum(0, (coverage - right.mean()) / coverage)
    oracle = c.Line(name="perfect order", x=tuple(coverage[::100].tolist()), y=tuple(best[::100].tolist()))
    lines = c.Lines(
        id="risk",
        title="Risk against coverage",
        caption="Mistakes among the most confident part of the images.",
        x_label="coverage",
        y_label="share wrong",
        x_unit="percent",
        y_unit="percent",
        series=(curve, oracle),
    )
    return c.Section(
        id="risk",
        title="What does abstaining buy?",
        answer="Leaving the least confident fifth to a person halves the mistakes.",
        figures=(lines,),
    )


def _wrong(rng: np.random.Generator, classes: tuple[str, ...]) -> c.Section:
    pairs = rng.integers(0, len(classes), (12, 2))
    items = tuple(
        c.Thumbnail(
            uri=picture(rng),
            alt=f"labelled {classes[a]}, called {classes[b]}",
            text=f"said {classes[b]}, {99.9 - i / 3:.1f}% sure\nlabelled {classes[a]}",
        )
        for i, (a, b) in enumerate(pairs)
    )
    grid = c.Thumbnails(
        id="wrong", title="Most confidently wrong", caption="Some of these are wrong labels.", items=items
    )
    return c.Section(
        id="wrong",
        title="Where is it surest and wrong?",
        answer="Twelve images; look at them before you blame the model.",
        figures=(grid,),
    )
