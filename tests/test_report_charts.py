"""The charts: where a mark stands is where its number says, at any width and on any data."""

import math
import re
import xml.etree.ElementTree as ET
from itertools import combinations

import pytest
import report_sample
import study_sample
from hypothesis import given, settings
from hypothesis import strategies as st

from candid.report import charts
from candid.report import content as c
from candid.report.charts import bars, heatmap, histogram, lines, reliability, scatter
from candid.report.charts.axes import Scale, spread
from candid.report.charts.svg import cut, text_width

ONE = {"id": "f", "title": "title", "caption": ""}
finite = st.floats(-1e6, 1e6, allow_nan=False).map(lambda v: round(v, 6))


def parse(drawing):
    return ET.fromstring(str(drawing))


def marks(tree, tag, kind):
    return [e for e in tree.iter(tag) if kind in e.get("class", "").split()]


def numbers(tree):
    return [float(v) for e in tree.iter() for name in ("x", "x1", "x2", "cx", "width") if (v := e.get(name))]


def sound(tree, width):
    """Nothing is drawn at nan, and nothing outside the picture."""
    source = ET.tostring(tree, encoding="unicode")
    assert not re.search(r'="[^"]*\b(nan|inf)\b', source)
    assert all(-1 <= value <= width + 1 for value in numbers(tree))


def bar(label, value, low=None, high=None):
    return c.Bar(label=label, value=value, low=low, high=high, n=10)


def test_even_ticks_are_round_and_inside():
    assert Scale(0, 0.096, 0, 1).ticks(5) == [0, 0.02, 0.04, 0.06, 0.08]
    assert Scale(-3, 7, 0, 1).ticks(5) == [-2, 0, 2, 4, 6]
    assert Scale(1234, 1236, 0, 1).ticks(4) == [1234, 1234.5, 1235, 1235.5, 1236]


def test_a_log_scale_puts_decades_at_equal_steps():
    scale = Scale(1, 1000, 0, 300, log=True)
    assert [scale(v) for v in (1, 10, 100, 1000)] == pytest.approx([0, 100, 200, 300])
    assert Scale(10, 1834, 0, 1, log=True).ticks(3) == [10, 100, 1000]
    assert Scale(30, 40, 0, 1, log=True).ticks(5) == [30, 40]


def test_an_axis_keeps_shares_between_zero_and_one():
    assert spread((0.9, 1.0), "percent")[1] == 1.0
    assert spread((0.1, 0.8), "percent")[0] == 0.0
    low, high = spread((5.0, 5.0))
    assert low < 5 < high
    assert spread((0.0, 0.0)) == (0.0, 1.0)


def test_bars_are_as_long_as_their_values():
    figure = c.Bars(**ONE, x_label="v", bars=(bar("a", 1.0), bar("b", 2.0), bar("c", -1.0)))
    tree = parse(bars.draw(figure, figure.bars, 430.0, "n"))
    widths = [float(e.get("width")) for e in marks(tree, "rect", "value")]
    assert widths[1] == pytest.approx(2 * widths[0], abs=0.05)
    assert widths[2] == pytest.approx(widths[0], abs=0.05)
    assert float(marks(tree, "rect", "value")[2].get("x")) < float(marks(tree, "rect", "value")[0].get("x"))


def test_forty_three_bars_show_the_worst_twelve_and_fold_the_rest():
    figure = report_sample.sample().sections[0].figures[0]
    first, rest = charts.panels(figure, "f")
    assert (first.folded, rest.folded, rest.title) == (False, True, "The other 31")
    assert len(marks(parse(first.wide), "rect", "value")) == 12
    assert len(marks(parse(rest.narrow), "rect", "value")) == 31
    values = [b.value for b in bars.ordered(figure)]
    assert values == sorted(values)
    assert [b.value for b in bars.ordered(figure.model_copy(update={"better": "lower"}))] == values[::-1]
    assert bars.ordered(figure.model_copy(update={"better": "neither"})) == figure.bars


def test_a_fold_never_hides_three_bars_or_fewer():
    figure = c.Bars(**ONE, x_label="v", bars=tuple(bar(str(i), float(i)) for i in range(15)))
    assert len(charts.panels(figure, "f")) == 1


def test_the_reliability_gap_spans_accuracy_to_confidence():
    def one(confidence, accuracy, low):
        return c.Bin(
            low=low, high=low + 0.2, confidence=confidence, accuracy=accuracy, accuracy_low=0.1, accuracy_high=0.9, n=5
        )

    series = c.ReliabilitySeries(name="s", bins=(one(0.3, 0.5, 0.2), one(0.7, 0.5, 0.6)))
    tree = parse(reliability.draw(series, 430.0, "n"))
    under, over = marks(tree, "rect", "under"), marks(tree, "rect", "over")
    assert len(under) == len(over) == 1
    assert float(under[0].get("height")) == pytest.approx(float(over[0].get("height")), abs=0.02)  # both gaps are 0.2
    bottom = float(over[0].get("y")) + float(over[0].get("height"))
    level = marks(tree, "line", "level")[1]
    assert bottom == pytest.approx(float(level.get("y1")), abs=0.02)  # the claim stands on the accuracy


def test_a_histogram_outline_returns_to_zero_and_peaks_where_the_share_does():
    series = c.Counts(name="s", shares=(0.2, 0.8), n=10)
    figure = c.Histogram(**ONE, x_label="x", edges=(0.0, 1.0, 2.0), series=(series,))
    outline = marks(parse(histogram.draw(figure, 430.0, "n")), "polyline", "curve")[0]
    points = [tuple(map(float, p.split(","))) for p in outline.get("points").split()]
    assert points[0][1] == points[-1][1] == max(y for _, y in points)
    heights = [points[0][1] - y for _, y in points]
    assert heights[3] == pytest.approx(4 * heights[1], abs=0.3)


def test_a_curve_of_many_points_keeps_its_ends():
    x = tuple(i / 4999 for i in range(5000))
    figure = c.Lines(**ONE, x_label="x", y_label="y", series=(c.Line(name="l", x=x, y=x),))
    tree = parse(lines.draw(figure, 330.0, "n"))
    points = marks(tree, "polyline", "curve")[0].get("points").split()
    assert len(points) == lines.DRAWN
    frame = [float(p.split(",")[0]) for p in (points[0], points[-1])]
    assert frame[1] == pytest.approx(330 - 8, abs=0.1)


def test_marker_labels_never_lie_on_each_other():
    close = tuple(c.Marker(axis="x", value=v, label="a label of some length") for v in (0.5, 0.52, 0.55, 0.98))
    series = c.Counts(name="s", shares=(1.0,), n=10)
    figure = c.Histogram(**ONE, x_label="x", edges=(0.0, 1.0), series=(series,), markers=close)
    for width in (charts.NARROW, charts.WIDE):
        boxes = []
        for e in marks(parse(histogram.draw(figure, width, "n")), "text", "note"):
            wide, x = text_width(e.text), float(e.get("x"))
            left = x - wide if e.get("text-anchor") == "end" else x
            boxes.append((left, left + wide, float(e.get("y"))))
        assert len(boxes) == 4
        for a, b in combinations(boxes, 2):
            assert a[1] <= b[0] or b[1] <= a[0] or abs(a[2] - b[2]) >= 12


def test_two_figures_of_one_id_do_not_share_names():
    figure = c.Bars(**ONE, x_label="v", bars=(bar("a", 1.0),))
    ids = {e.get("id") for name in ("one", "two") for e in parse(charts.panels(figure, name)[0].wide).iter()} - {None}
    assert len(ids) == 4


def test_a_cut_name_fits_its_room():
    name = "a very long class name that somebody pasted"
    assert text_width(cut(name, 100.0)) <= 100
    assert cut(name, 1000.0) == name
    assert text_width("柴犬") > text_width("ab")


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(finite, finite), min_size=1, max_size=20), st.booleans(), st.sampled_from([330.0, 430.0]))
def test_any_bars_can_be_drawn(rows, with_interval, width):
    made = tuple(
        bar(f"class {i}", v, *((v - abs(s), v + abs(s)) if with_interval else ())) for i, (v, s) in enumerate(rows)
    )
    figure = c.Bars(**ONE, x_label="v", bars=made, markers=(c.Marker(axis="x", value=rows[0][1], label="here"),))
    sound(parse(bars.draw(figure, made, width, "n")), width)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(finite, finite), min_size=1, max_size=40), st.booleans(), st.sampled_from([330.0, 430.0]))
def test_any_curve_can_be_drawn(points, log, width):
    x, y = zip(*sorted(points), strict=True)
    line = c.Line(name="l", x=x, y=y, low=tuple(v - 1 for v in y), high=tuple(v + 1 for v in y))
    markers = (c.Marker(axis="x", value=x[0], label="x"), c.Marker(axis="y", value=y[0], label="y"))
    figure = c.Lines(**ONE, x_label="x", y_label="y", series=(line,), log_x=log, markers=markers)
    sound(parse(lines.draw(figure, width, "n")), width)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=30), finite, st.floats(1e-3, 1e3))
def test_any_histogram_can_be_drawn(shares, start, step):
    edges = tuple(start + step * i for i in range(len(shares) + 1))
    series = c.Counts(name="s", shares=tuple(shares), n=3)
    figure = c.Histogram(**ONE, x_label="x", edges=edges, series=(series,))
    sound(parse(histogram.draw(figure, 330.0, "n")), 330)


@pytest.mark.parametrize("accuracy", [0.0, 1.0])
def test_a_single_perfect_or_hopeless_bin_can_be_drawn(accuracy):
    one = c.Bin(low=0.0, high=1.0, confidence=1.0, accuracy=accuracy, accuracy_low=0.0, accuracy_high=1.0, n=1)
    tree = parse(reliability.draw(c.ReliabilitySeries(name="s", bins=(one,)), 330.0, "n"))
    sound(tree, 330)
    assert math.isclose(float(marks(tree, "rect", "count")[0].get("height")), reliability.STRIP)


def dots(*places, name="s"):
    return c.PointSeries(name=name, points=tuple(c.Point(label=f"m{i}", x=x, y=y) for i, (x, y) in enumerate(places)))


def test_a_dot_stands_where_its_numbers_say_on_even_and_on_log_axes():
    series = dots((1.0, 1.0), (10.0, 2.0), (100.0, 3.0))
    for log, ratio in ((True, 1.0), (False, 10.0)):
        figure = c.Scatter(**ONE, x_label="x", y_label="y", series=(series,), log_x=log)
        at = [
            (float(e.get("cx")), float(e.get("cy")))
            for e in marks(parse(scatter.draw(figure, 430.0, "n")), "circle", "hover")
        ]
        assert (at[2][0] - at[1][0]) / (at[1][0] - at[0][0]) == pytest.approx(ratio, rel=0.01)
        assert at[1][1] - at[2][1] == pytest.approx(at[0][1] - at[1][1], abs=0.02)
        assert at[0][1] > at[2][1]  # up is more


def test_a_log_axis_falls_back_to_an_even_one_where_a_value_is_zero():
    even = c.Scatter(**ONE, x_label="x", y_label="y", series=(dots((1.0, 0.0), (2.0, 1.0), (3.0, 2.0)),))
    asked = even.model_copy(update={"log_y": True})
    assert scatter.draw(asked, 430.0, "n") == scatter.draw(even, 430.0, "n")


def test_linked_dots_of_one_name_are_tied_and_named_once():
    before, after = dots((0.2, 0.9), (0.8, 0.8), name="before"), dots((0.2, 0.1), name="after")
    figure = c.Scatter(**ONE, x_label="x", y_label="y", series=(before, after), linked=True)
    tree = parse(scatter.draw(figure, 430.0, "n"))
    (link,) = marks(tree, "line", "link")
    assert link.get("x1") == link.get("x2")
    assert sorted(e.text for e in marks(tree, "text", "note")) == ["m0", "m1"]
    loose = figure.model_copy(update={"linked": False})
    assert marks(parse(scatter.draw(loose, 430.0, "n")), "line", "link") == []


def test_every_series_has_a_shape_of_its_own_in_the_plot_and_in_the_legend():
    figure = study_sample.study().sections[0].figures[1]
    paths = {re.sub(r"[\d.-]+", "", scatter.spot(i, 9, 9)).split(" class")[0] for i in range(4)}
    assert len(paths) == 4
    assert [words for _, words in charts.legend(figure)] == [s.name for s in figure.series]
    assert len(marks(parse(scatter.draw(figure, 430.0, "n")), "path", "spot")) == 12


@pytest.mark.parametrize("width", [charts.NARROW, charts.WIDE])
def test_names_of_dots_lie_on_no_dot_and_on_no_other_name(width):
    tree = parse(scatter.draw(study_sample.study().sections[0].figures[0], width, "n"))
    boxes = []
    for e in marks(tree, "text", "note"):
        wide, x, y = text_width(e.text), float(e.get("x")), float(e.get("y"))
        left = x - wide * {"start": 0, "middle": 0.5, "end": 1}[e.get("text-anchor")]
        boxes.append((left, left + wide, y))
    assert len(boxes) >= 3
    for a, b in combinations(boxes, 2):
        assert a[1] <= b[0] or b[1] <= a[0] or abs(a[2] - b[2]) >= 12
    for e in marks(tree, "circle", "hover"):
        x, y = float(e.get("cx")), float(e.get("cy"))
        assert not any(left < x < right and level - 10 < y < level + 2 for left, right, level in boxes[1:])


def heat(*rows, better="lower", **options):
    columns = tuple("abcdef"[: len(rows[0])])
    return c.Heatmap(
        **ONE,
        row_label="fitted on",
        column_label="used on",
        value_label="ECE",
        rows=tuple("abcdef"[: len(rows)]),
        columns=columns,
        values=rows,
        better=better,
        **options,
    )


def test_the_worse_a_cell_the_deeper_its_colour():
    def kinds(better):
        return [cell.kind for cell in heatmap.cells(heat((0.1, 0.2, 0.4), better=better))[0]]

    assert kinds("lower") == ["cell w0 own", "cell w2", "cell w6"]
    assert kinds("higher") == ["cell w6 own", "cell w4", "cell w0"]
    assert kinds("neither") == ["cell v0 own", "cell v2", "cell v6"]


def test_cells_print_alike_and_say_where_they_stand_and_an_absent_one_is_no_number():
    figure = heat((0.0123, 0.31), (None, 0.2), intervals=((None, (0.29, 0.33)), (None, None)))
    (first, second), (absent, _) = heatmap.cells(figure)
    assert [first.words, second.words, absent.words] == ["0.012", "0.310", "–"]
    assert second.tip == "fitted on: a\nused on: b\nECE: 0.310 (0.290 to 0.330)"
    assert absent.tip.endswith("not applicable")
    assert "Highest: 0.310 (fitted on a, used on b)." in heatmap.describe(figure)
    assert [words for _, words in heatmap.legend(figure)] == [
        "0.012, better",
        "0.310, worse",
        "fitted on and used on the same",
        "not applicable",
    ]


def test_fixed_ends_make_heatmaps_compare():
    alone, fixed = heat((0.1, 0.2)), heat((0.1, 0.2), low=0.0, high=0.7)
    assert [cell.kind.split()[1] for cell in heatmap.cells(alone)[0]] == ["w0", "w6"]
    assert [cell.kind.split()[1] for cell in heatmap.cells(fixed)[0]] == ["w1", "w2"]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(finite, finite, st.floats(0, 10)), min_size=1, max_size=60),
    st.booleans(),
    st.booleans(),
    st.sampled_from([330.0, 430.0]),
)
def test_any_scatter_can_be_drawn(places, log, linked, width):
    points = tuple(
        c.Point(label=f"a rather long name {i % 7}", x=x, y=y, low=y - s, high=y + s)
        for i, (x, y, s) in enumerate(places)
    )
    half = len(points) // 2
    series = tuple(c.PointSeries(name=str(i), points=p) for i, p in enumerate((points[:half], points[half:])) if p)
    marker = c.Marker(axis="y", value=places[0][1], label="here")
    figure = c.Scatter(
        **ONE, x_label="x", y_label="y", series=series, log_x=log, log_y=log, linked=linked, markers=(marker,)
    )
    sound(parse(scatter.draw(figure, width, "n")), width)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(1e-9, 1e9), min_size=1, max_size=20))
def test_any_positive_scatter_can_be_drawn_on_log_axes(values):
    figure = c.Scatter(
        **ONE, x_label="x", y_label="y", series=(dots(*zip(values, values, strict=True)),), log_x=True, log_y=True
    )
    tree = parse(scatter.draw(figure, 330.0, "n"))
    sound(tree, 330)
    assert len(marks(tree, "circle", "hover")) == len(values)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.none() | finite, min_size=3, max_size=3), min_size=1, max_size=6))
def test_any_heatmap_has_a_tone_and_a_legend(rows):
    figure = heat(*map(tuple, rows))
    kinds = {cell.kind.split()[1] for row in heatmap.cells(figure) for cell in row}
    assert kinds <= {"none", *(f"w{i}" for i in range(heatmap.STEPS))}
    assert "nan" not in heatmap.describe(figure)
    heatmap.legend(figure)
