"""The page in a real browser: silent, whole on a phone, readable, usable by keyboard."""

import shutil
from functools import partial

import pytest
import report_sample
import study_sample

from candid.report import Report

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]

OVERLAPS = """() => {
  const found = [];
  for (const svg of document.querySelectorAll('svg[role=img]')) {
    const frame = svg.getBoundingClientRect();
    if (!frame.width) continue;
    const texts = [...svg.querySelectorAll('text')].map((t) => [t.textContent, t.getBoundingClientRect()]);
    texts.forEach(([a, r], i) => {
      if (r.left < frame.left - 3 || r.right > frame.right + 3) found.push(`clipped: ${a}`);
      for (const [b, s] of texts.slice(i + 1)) {
        const wide = Math.min(r.right, s.right) - Math.max(r.left, s.left);
        const high = Math.min(r.bottom, s.bottom) - Math.max(r.top, s.top);
        if (wide > 1 && high > 5) found.push(`${a} on ${b}`);
      }
    });
  }
  return found;
}"""
CLIPPED = """() => [...document.querySelectorAll('h1, h2, h3, p, dt, dd, li, summary, figcaption')]
  .filter((e) => e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).display !== 'inline')
  .map((e) => e.textContent.slice(0, 60))"""


@pytest.fixture(scope="module")
def sample():
    return report_sample.sample()


@pytest.fixture(scope="module")
def addresses(sample, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    contents = {"audit": sample, "study": study_sample.study()}
    return {name: Report(content).save(folder / name).as_uri() for name, content in contents.items()}


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def visit(browser, addresses):
    """Opens the page with the network refused; at the end, nothing was asked for and nothing complained."""
    asked, said, contexts = [], [], []

    def answer(route):
        if route.request.url in addresses.values():
            return route.continue_()
        asked.append(route.request.url)
        return route.abort()

    def open_page(width=1280, height=900, of="audit", **options):
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        context.route("**/*", answer)
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(addresses[of])
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert [url for url in asked if not url.startswith(("data:", "blob:"))] == []
    assert said == []


def test_it_opens_without_a_request_or_a_complaint(visit):
    page = visit()
    assert page.title() == "Do not rely on it: openai/clip-vit-base-patch32 on pets/test"
    assert page.locator(".headline").inner_text().startswith("Right in 69%")


@pytest.mark.parametrize("of", ["audit", "study"])
@pytest.mark.parametrize("width", [320, 360, 390, 800, 1280, 1920])
def test_no_page_is_wider_than_its_screen(visit, width, of):
    page = visit(width, of=of)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.evaluate("document.querySelectorAll('details').forEach((d) => (d.open = true))")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("of", ["audit", "study"])
@pytest.mark.parametrize("width", [360, 800, 1280])
def test_no_label_lies_on_another_and_no_text_is_cut_off(visit, width, of):
    page = visit(width, of=of)
    page.evaluate("document.querySelectorAll('details').forEach((d) => (d.open = true))")
    assert page.evaluate(OVERLAPS) == []
    assert page.evaluate(CLIPPED) == []


@pytest.mark.parametrize("width", [360, 1280])
def test_text_in_charts_is_readable_on_a_phone_and_on_a_desk(visit, width):
    sizes = visit(width).evaluate(
        "[...document.querySelectorAll('svg[role=img]')].filter((s) => s.clientWidth)"
        ".map((s) => 12 * s.getBoundingClientRect().width / s.viewBox.baseVal.width)"
    )
    assert len(sizes) >= 6
    assert min(sizes) >= 11
    assert max(sizes) <= 16


def test_the_keyboard_reaches_every_fold_in_the_order_of_the_page(visit):
    page = visit()
    page.evaluate("document.querySelectorAll('summary').forEach((s, i) => (s.id = `fold-${i}`))")
    folds = page.evaluate("document.querySelectorAll('summary').length")
    reached = []
    for _ in range(200):
        page.keyboard.press("Tab")
        name = page.evaluate("document.activeElement.id || document.activeElement.className")
        if page.evaluate("document.activeElement === document.body"):
            break
        reached.append(name)
    assert reached[0] == "skip"
    assert [name for name in reached if name.startswith("fold-")] == [f"fold-{i}" for i in range(folds)]


def test_a_fold_opens_with_the_enter_key(visit):
    page = visit()
    page.locator(".behind summary").first.focus()
    page.keyboard.press("Enter")
    assert page.locator(".behind table").first.is_visible()


def test_it_follows_the_system_theme_and_the_button_overrules_it(visit):
    paper = partial(lambda page: page.evaluate("getComputedStyle(document.body).backgroundColor"))
    light, dark = paper(visit(color_scheme="light")), paper(visit(color_scheme="dark"))
    assert light != dark
    page = visit(color_scheme="light")
    button = page.locator("#theme")
    seen = []
    for _ in range(3):
        button.click()
        seen.append((button.inner_text(), paper(page)))
    assert seen == [("Theme: light", light), ("Theme: dark", dark), ("Theme: auto", light)]


def test_the_downloaded_data_is_the_whole_report(visit, sample, tmp_path):
    page = visit(accept_downloads=True)
    with page.expect_download() as event:
        page.locator("#download").click()
    event.value.save_as(tmp_path / "report.json")
    assert Report.load(tmp_path / "report.json").content == sample


def test_pointing_at_a_mark_says_its_number(visit):
    page = visit()
    mark = page.locator(".wide rect.hover").first
    mark.scroll_into_view_if_needed()
    mark.hover()
    assert "n = " in page.locator("#tip").inner_text()
    page.keyboard.press("Escape")
    assert page.locator("#tip").is_hidden()


def test_pointing_at_a_dot_or_a_cell_names_it(visit):
    page = visit(of="study")
    for mark, words in ((".wide circle.hover", "parameters, millions: "), ("td.cell", "used on: cifar10\n")):
        at = page.locator(mark).last if "hover" in mark else page.locator(mark).first
        at.scroll_into_view_if_needed()
        at.hover()
        assert words in page.locator("#tip").inner_text()


def test_row_names_of_a_wide_heatmap_stay_in_sight_on_a_phone(visit):
    page = visit(360, of="study")
    page.locator(".heat").first.evaluate("(table) => (table.parentElement.scrollLeft = 300)")
    name = page.locator(".heat tbody th").first.bounding_box()
    assert name["x"] >= 0
    assert page.locator(".heat").first.bounding_box()["x"] < -200


def test_without_scripts_everything_but_the_buttons_is_there(visit):
    page = visit(java_script_enabled=False)
    assert page.locator("#theme").is_hidden()
    assert page.locator(".headline").is_visible()
    assert page.locator("svg[role=img]").first.is_visible()


def test_print_shows_the_rules_and_no_controls(visit):
    page = visit()
    page.emulate_media(media="print")
    assert page.locator("#theme").is_hidden()
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator(".reasons details p").first.is_visible()
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator(".reasons details[open]").count() == 0
