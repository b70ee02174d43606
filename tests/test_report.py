"""The report: files, numbers in words, a page that foreign text cannot break, a terminal view."""

import csv
import json
import re
from collections import Counter
from html.parser import HTMLParser

import numpy as np
import pytest
import report_sample
import study_sample
from pydantic import ValidationError

from candid.errors import InputError
from candid.report import Report, html, text
from candid.report import content as c
from candid.report.behind import MOST_NUMBERS, number_sheet, sheet
from candid.report.charts import heatmap
from candid.report.charts.svg import LOOKS
from candid.report.page import TEMPLATES
from candid.report.selection import by_severity, key_rows
from candid.report.tables import write_csv
from candid.report.wording import clean, interval, number, with_interval

VOID = {"meta", "link", "br", "img", "input", "hr", "wbr"}
HOSTILE = "\"'><script>alert(1)</script><img src=x onerror=alert(2)>{{ 7*7 }}</svg></style>]]>&lt;\u202e\x1b[31m\udcff"


class Page(HTMLParser):
    """What a browser would find: elements with attributes, text, and whether every element closes in its turn."""

    def __init__(self, source):
        super().__init__()
        self.elements, self.open, self.words = [], [], []
        self.feed(source)
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("script", "style"):
            self.words.append(data)

    def all(self, tag):
        return [attrs for name, attrs in self.elements if name == tag]


@pytest.fixture(scope="module")
def sample():
    return report_sample.sample()


@pytest.fixture(scope="module")
def page(sample):
    return Page(html(sample))


def hostile(value, key=""):
    """The same content with every free text replaced."""
    if key in ("kind", "level", "role", "better", "unit", "units", "x_unit", "y_unit", "axis", "activation", "uri"):
        return value
    if isinstance(value, dict):
        renamed = HOSTILE.removesuffix("\udcff")  # keys of JSON objects are decoded text
        return {(renamed if key in ("config", "packages") else k): hostile(v, k) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [hostile(v, key) for v in value]
    return HOSTILE if isinstance(value, str) else value


def test_a_saved_report_loads_as_the_same_content(sample, tmp_path):
    page = Report(sample).save(tmp_path / "out")
    assert page == tmp_path / "out" / "index.html"
    assert page.read_text(encoding="utf-8") == html(sample)
    assert Report.load(tmp_path / "out").content == sample
    assert Report.load(tmp_path / "out" / "report.json").content == sample
    stored = json.loads((tmp_path / "out" / "report.json").read_text())
    assert (stored["format"], stored["version"], stored["seed"]) == ("candid-report", 1, 0)


def test_what_the_run_made_is_saved_beside_the_report(sample, tmp_path):
    class Made:
        def save(self, folder, /, *, exist_ok=False):
            folder.mkdir(exist_ok=exist_ok)
            (folder / "it").write_text("made")

    report = Report(sample, made={"predictor": Made()})
    report.save(tmp_path / "out")
    assert (tmp_path / "out" / "predictor" / "it").read_text() == "made"
    with pytest.raises(InputError, match="--exist-ok"):
        report.save(tmp_path / "out")
    report.save(tmp_path / "out", exist_ok=True)


def test_half_a_report_is_refused_with_the_missing_field(sample, tmp_path):
    Report(sample).save(tmp_path)
    stored = json.loads((tmp_path / "report.json").read_text())
    del stored["verdict"]
    (tmp_path / "report.json").write_text(json.dumps(stored))
    with pytest.raises(InputError, match=r"verdict: Field required; run it again"):
        Report.load(tmp_path)


def test_numbers_are_finite_or_absent():
    with pytest.raises(ValidationError, match="finite"):
        c.Row(metric="ece", slice="all", value=float("nan"), low=None, high=None, n=3, better="lower")
    with pytest.raises(ValidationError, match="one length"):
        c.Line(name="short", x=(1.0, 2.0), y=(1.0,))
    counts = c.Counts(name="s", shares=(1.0,), n=4)
    with pytest.raises(ValidationError, match="shares for"):
        c.Histogram(id="h", title="", caption="", x_label="", edges=(0.0, 1.0, 2.0), series=(counts,))


def test_every_heatmap_cell_has_its_place_and_every_number_is_finite():
    figure = study_sample.study().sections[1].figures[1]
    with pytest.raises(ValidationError, match="cells for 5 rows, 2 columns"):
        c.Heatmap.model_validate({**figure.model_dump(), "columns": ("pets", "birds")})
    with pytest.raises(ValidationError, match="cells for 5 rows, 3 columns"):
        c.Heatmap.model_validate({**figure.model_dump(), "intervals": ((None,) * 3,)})
    with pytest.raises(ValidationError, match="finite"):
        c.Point(label="a", x=0.5, y=float("inf"))


@pytest.mark.parametrize(
    ("value", "low", "high", "unit", "printed"),
    [
        (0.08341, 0.0712, 0.0961, "number", "0.083 (0.071 to 0.096)"),
        (0.8312, 0.7921, 0.8644, "percent", "83.1% (79.2% to 86.4%)"),
        (0.8, 0.7, 0.9, "percent", "80% (70% to 90%)"),
        (0.8, 0.3, 1.4, "number", "0.8 (0.3 to 1.4)"),
        (1.532, 1.481, 1.583, "number", "1.53 (1.48 to 1.58)"),
        (12345.6, 12000.0, 12700.0, "number", "12,346 (12,000 to 12,700)"),
        (-0.00004, -0.01, 0.02, "number", "0.000 (\u22120.010 to 0.020)"),
        (1.0, 1.0, 1.0, "percent", "100.0% (100.0% to 100.0%)"),
        (0.5, None, None, "percent", "50.0%"),
        (0.000123456, None, None, "number", "0.000123"),
    ],
)
def test_numbers_carry_the_digits_their_interval_allows(value, low, high, unit, printed):
    assert with_interval(value, low, high, unit) == printed


def test_a_number_never_prints_minus_zero_or_too_many_digits():
    assert number(-0.0) == number(0.0) == "0"
    assert number(-0.0001, "percent") == "0.0%"
    assert interval(-1e-12, 1e-12) == "0.000000 to 0.000000"


def test_clean_keeps_every_script_and_marks_what_would_steer():
    assert clean("柴犬, Größe, naïve, 🐕") == "柴犬, Größe, naïve, 🐕"
    assert clean("a\u202eb\x00c\udcff") == "a\ufffdb\ufffdc\ufffd"


def test_the_page_is_well_formed_and_its_ids_are_unique(page):
    ids = Counter(attrs["id"] for _, attrs in page.elements if "id" in attrs)
    assert [name for name, times in ids.items() if times > 1] == []
    for _, attrs in page.elements:
        wanted = (attrs.get("aria-labelledby") or "").split() + [
            attrs["href"][1:] for _ in [0] if str(attrs.get("href")).startswith("#")
        ]
        assert set(wanted) <= set(ids)


def test_every_picture_is_named_and_described(page):
    pictures = [attrs for attrs in page.all("svg") if attrs.get("role") == "img"]
    assert len(pictures) == 2 * 8  # two widths of 2 reliability panels, bars and their fold, 2 lines, histogram, bars
    assert len(page.all("desc")) == len(pictures)
    assert all(attrs["alt"] for attrs in page.all("img"))
    others = [attrs for attrs in page.all("svg") if attrs.get("role") != "img"]
    assert all(attrs["aria-hidden"] == "true" for attrs in others)


def test_foreign_text_cannot_become_markup(sample):
    foreign = c.Content.model_validate(hostile(sample.model_dump(mode="json")))
    source = html(foreign)
    page = Page(source)
    assert len(page.all("script")) == 2
    assert len(page.all("style")) == 1
    assert not [name for _, attrs in page.elements for name in attrs if name.startswith("on")]
    assert all(attrs["src"].startswith("data:image/") for attrs in page.all("img"))
    assert "49" not in re.findall(r"onerror=alert\(2\)&gt;(.{2})", source)
    assert not {"\x1b", "\u202e", "\udcff"} & set("".join(page.words))
    embedded = re.search(r'<script type="application/json" id="data">(.*?)</script>', source, re.S)
    assert json.loads(embedded[1])["verdict"]["headline"] == HOSTILE


def test_foreign_text_survives_the_files_unchanged(sample, tmp_path):
    foreign = c.Content.model_validate(hostile(sample.model_dump(mode="json")))
    Report(foreign).save(tmp_path)
    assert Report.load(tmp_path).content == foreign


def test_a_thumbnail_can_only_be_a_picture_inside_the_file():
    for uri in (
        "https://example.org/a.png",
        "javascript:alert(1)",
        "data:image/svg+xml;base64,AAAA",
        "data:text/html,x",
    ):
        with pytest.raises(ValidationError):
            c.Thumbnail(uri=uri, alt="", text="")


def test_the_page_asks_for_nothing_and_runs_only_its_own_script(sample):
    source = html(sample)
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]+)"', source)[1]
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert "unsafe" not in policy
    assert not re.findall(r'(?:src|href|action)="(?!#|data:)[^"]*"', source)
    assert not re.search(r"@import|url\((?!#)|fetch\(|XMLHttpRequest|WebSocket|EventSource|sendBeacon", source)


def test_the_page_of_a_realistic_report_stays_far_below_three_megabytes(sample):
    assert len(html(sample).encode()) < 1_000_000


def test_the_verdict_is_said_in_words_and_a_shape_not_only_in_colour(page):
    words = " ".join("".join(page.words).split())
    assert "Do not rely on it" in words
    assert "cannot say" in words
    assert "Right in 69% of these images" in words
    assert "The rule" in words


def test_reasons_come_worst_first_and_keep_their_order(sample):
    reasons = by_severity(sample.verdict.reasons)
    assert [r.level for r in reasons] == ["bad", "unknown", "caution", "good", "good"]
    assert reasons[-1].text.startswith("One temperature")


def test_key_rows_are_the_marked_ones_else_the_first_of_all(sample):
    assert [row.label for row in key_rows(sample)][:2] == ["Accuracy", "Calibration error as shipped"]
    plain = tuple(row.model_copy(update={"key": False}) for row in sample.rows)
    assert {row.slice for row in key_rows(sample.model_copy(update={"rows": plain}))} == {"all"}
    assert key_rows(sample.model_copy(update={"rows": ()})) == ()


def test_an_empty_report_and_empty_figures_still_make_a_page(sample):
    one = {"id": "x", "title": "nothing here", "caption": ""}
    figures = (
        c.Reliability(**one, series=(c.ReliabilitySeries(name="none", bins=()),)),
        c.Lines(**one, x_label="x", y_label="y", series=(c.Line(name="none", x=(), y=()),)),
        c.Histogram(**one, x_label="x", edges=(), series=()),
        c.Bars(**one, x_label="x", bars=()),
        c.Scatter(**one, x_label="x", y_label="y", series=(c.PointSeries(name="none", points=()),)),
        c.Heatmap(**one, row_label="r", column_label="c", value_label="v", rows=(), columns=(), values=()),
        c.Table(**one, columns=("a",), rows=()),
        c.Thumbnails(**one, items=()),
    )
    section = c.Section(id="s", title="Empty?", answer="", figures=figures)
    verdict = c.Verdict(level="unknown", headline="Nothing can be said.", reasons=())
    empty = sample.model_copy(
        update={"sections": (section,), "rows": (), "inputs": (), "cannot_say": (), "verdict": verdict, "config": {}}
    )
    words = "".join(Page(html(empty)).words)
    assert words.count("Nothing to show") == len(figures)
    assert "Nothing can be said." in text(empty, width=60, color=False)


def test_the_table_behind_a_figure_holds_its_numbers(sample):
    bars = sample.sections[0].figures[0]
    table = sheet(bars)
    assert len(table.rows) == len(bars.bars) == 43
    worst = min(bars.bars, key=lambda b: b.value)
    assert table.rows[0][0] == worst.label
    assert table.numeric == (False, True, True, True)
    risk = sheet(sample.sections[3].figures[0])
    assert "downloaded data holds all" in risk.note
    assert len(risk.rows) < 300


def test_the_terminal_view_fits_its_width_and_says_what_matters(sample):
    for width in (60, 80, 120):
        lines = text(sample, width=width, color=False).splitlines()
        assert max(map(len, lines)) <= width
    shown = text(sample, width=80, color=False)
    assert "\x1b" not in shown
    for words in ("Do not rely on it", "61% of textures", "68.8%", "0.071 to 0.096", "3,669", "cannot say", "plants"):
        assert words in shown


def test_colour_is_only_for_terminals_and_can_be_refused(sample, monkeypatch):
    assert "\x1b[" in text(sample, width=80, color=True)
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b" not in text(sample, width=80, color=False)
    monkeypatch.delenv("FORCE_COLOR")
    assert "\x1b" not in text(sample, width=80)  # a captured stdout is no terminal


def test_foreign_text_cannot_steer_the_terminal(sample):
    foreign = c.Content.model_validate(hostile(sample.model_dump(mode="json")))
    shown = text(foreign, width=100, color=False)
    assert "\x1b" not in shown
    assert "[31m" in shown  # printed, not obeyed, and not taken for markup


def test_text_stands_out_from_its_background_in_both_themes():
    """WCAG 2.2 AA: 4.5 to 1 for text, 3 to 1 for what is drawn."""
    tones = dict(re.findall(r"--([\w-]+): light-dark\((#\w{6}, #\w{6})\)", (TEMPLATES / "style.css").read_text()))
    for theme in (0, 1):
        tone = {name: pair.split(", ")[theme] for name, pair in tones.items()}
        for name in ("ink", "muted", "accent", "good", "caution", "bad", "unknown"):
            assert contrast(tone[name], tone["paper"]) >= 4.5, (theme, name)
        for name in ("good", "caution", "bad", "unknown"):
            assert contrast(tone[name], tone[f"{name}-tint"]) >= 4.5, (theme, name)
        for name in (f"{ramp}{step}" for ramp in "wv" for step in range(heatmap.STEPS)):
            assert contrast(tone["ink"], tone[name]) >= 4.5, (theme, name)
        for name in (*(f"s{i}" for i in range(LOOKS)), "edge"):
            assert contrast(tone[name], tone["paper"]) >= 3, (theme, name)


@pytest.fixture(scope="module")
def study():
    return study_sample.study()


def test_a_study_survives_its_files_and_foreign_names(study, tmp_path):
    foreign = c.Content.model_validate(hostile(study.model_dump(mode="json")))
    for name, content in (("plain", study), ("foreign", foreign)):
        Report(content).save(tmp_path / name)
        assert Report.load(tmp_path / name).content == content
    page = Page(html(foreign))
    assert (len(page.all("script")), len(page.all("style"))) == (2, 1)
    assert not [name for _, attrs in page.elements for name in attrs if name.startswith("on")]


def test_a_report_from_before_studies_still_loads_as_an_audit(sample, tmp_path):
    Report(sample).save(tmp_path)
    stored = json.loads((tmp_path / "report.json").read_text())
    for name in ("models", "title", "again"):
        del stored[name]
    for reason in stored["verdict"]["reasons"]:
        del reason["word"]
    (tmp_path / "report.json").write_text(json.dumps(stored))
    assert Report.load(tmp_path).content == sample


def test_a_study_asks_its_own_question_and_judges_no_model(study):
    source = html(study)
    page = Page(source)
    words = " ".join("".join(page.words).split())
    assert f"<title>{study.title.replace(chr(39), '&#39;')}</title>" in source
    assert not [a for _, a in page.elements if "badge" in (a.get("class") or "").split()]
    assert "Not enough to say" not in words
    assert "28,091 images of 14 sets, with 18 models." in words
    assert "--config report.json" not in words  # this study has no command that repeats it
    assert all(card.id in words for card in study.models)
    assert words.index("holds") < words.index("fails") < words.index("untested")  # in the order given


def test_a_study_in_the_terminal_says_its_question_findings_and_models(study):
    shown = text(study, width=90, color=False)
    assert shown.startswith(study.title.split(" vision")[0])
    assert "✕ fails" in shown
    assert "18 models: ViT-B-32/openai" in shown
    assert max(map(len, shown.splitlines())) <= 90


def test_the_question_sets_the_model_and_the_images_in_bold_and_nothing_else(sample):
    (question,) = re.findall(r"<h1 id=.question.>(.*?)</h1>", html(sample))
    bold = re.findall(r"<b>(.*?)</b>", question)
    assert len(bold) == 2
    assert bold[0] == sample.model.id
    assert re.sub(r"<b>.*?</b>", "_", question) == "How far can _ be trusted on _?"


def test_several_models_without_a_title_are_counted_in_the_question(study):
    words = " ".join("".join(Page(html(study.model_copy(update={"title": ""}))).words).split())
    assert "How far can 18 models be trusted?" in words


def test_the_table_behind_a_scatter_lists_every_dot_and_behind_a_heatmap_every_cell(study):
    scatter, heat = study.sections[0].figures[0], study.sections[1].figures[0]
    dots = sheet(scatter)
    first = scatter.series[0].points[0]
    assert len(dots.rows) == 36
    assert dots.rows[0][:3] == (first.label, "as shipped", number(first.x, "percent"))
    assert dots.rows[0][5] == "5,000"
    cells = sheet(heat)
    assert cells.columns == ("fitted on", "used on", "ECE")
    assert len(cells.rows) == 14 * 14
    assert cells.rows[8] == ("cifar10", "pets", "–")  # no such pair


def test_thousands_of_numbers_are_printed_as_far_as_a_page_carries_them(study):
    many = number_sheet(study.rows[:1] * (MOST_NUMBERS + 1))
    assert len(many.rows) == MOST_NUMBERS
    assert many.note == "The first 2,000 of 2,001; the downloaded data holds all."
    assert number_sheet(study.rows).note == ""


def test_a_heatmap_is_a_table_that_names_its_rows_and_columns(study):
    page = Page(html(study))
    scopes = Counter(attrs.get("scope") for attrs in page.all("th") if attrs.get("scope") != "col")
    assert scopes == {"row": 14 + 5, "colgroup": 2}
    cells = [attrs for attrs in page.all("td") if "cell" in (attrs.get("class") or "").split()]
    assert len(cells) == 14 * 14 + 5 * 3
    assert len(page.all("caption")) == 2


def test_csv_cells_read_back_as_they_were(tmp_path):
    rows = [
        {"model": 'a, "b"\nc', "ece": 0.1 + 0.2, "n": np.int64(3)},
        {"model": "柴犬", "ece": None, "good": True, "share": np.float32(0.5)},
    ]
    path = write_csv(tmp_path / "new" / "a.csv", rows)
    with path.open(encoding="utf-8", newline="") as file:
        found = list(csv.DictReader(file))
    assert list(found[0]) == ["model", "ece", "n", "good", "share"]
    assert found[0] == {"model": 'a, "b"\nc', "ece": "0.30000000000000004", "n": "3", "good": "", "share": ""}
    assert found[1] == {"model": "柴犬", "ece": "", "n": "", "good": "true", "share": "0.5"}
    assert write_csv(path, [], columns=("a", "b")).read_text() == "a,b\n"


def test_csv_refuses_what_it_cannot_say_and_leaves_the_old_file(tmp_path):
    path = write_csv(tmp_path / "a.csv", [{"a": 1}])
    with pytest.raises(InputError, match="got nan in column a"):
        write_csv(path, [{"a": float("nan")}])
    with pytest.raises(InputError, match="got b too"):
        write_csv(path, [{"a": 1, "b": 2}], columns=("a",))
    with pytest.raises(InputError, match="got neither"):
        write_csv(path, [])
    assert path.read_text() == "a\n1\n"
    assert [p.name for p in tmp_path.iterdir()] == ["a.csv"]


def contrast(one, other):
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def luminance(tone):
    parts = [int(tone[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
