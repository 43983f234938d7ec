"""metrics/report.html in Chromium: the list of questions, one answer, hostile data, widths and colours."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser import Visit, visiting
from tests.report_inputs import DDL, lay_inputs, make_page, question, write_csv
from text2sql.files import write_json
from text2sql.report.html.page import Provenance

pytestmark = pytest.mark.slow

HOSTILE = "<img src=x onerror='window.hacked = 4'> & </script><script>window.hacked = 5</script>"
QUESTIONS = [
    question(0, "How many items are there?", "SELECT count(*) FROM item"),
    question(1, f"Name all items {HOSTILE}", "SELECT name, note, picture FROM item", problems=[HOSTILE]),
    question(2, "Which items are after the first?", "SELECT name FROM item WHERE id > 1"),
    question(3, "Which item is the last one?", "SELECT name FROM item ORDER BY id DESC LIMIT 1"),
    question(4, "x" * 30_000, "", test_set="other"),
]
ANSWERS = {
    "base": [
        "SELECT count(*) FROM item",
        "SELECT name, note, picture FROM item WHERE id < 4 -- <script>window.hacked = 6</script>",
        "SELECT name FROM item WHERE id > 1",
        "SELECT title FROM item",
        "SELECT 1",
    ],
    "tuned": [
        "SELECT count(id) FROM item",
        "SELECT name, note, picture FROM item",
        "SELECT name FROM item WHERE id >= 1",
        "SELECT name FROM item ORDER BY id DESC LIMIT 1",
        "",
    ],
}
EXAMPLES = [
    {"question": "How many?", "ddl": "CREATE TABLE t (a);", "sql": "SELECT 1", "score": n / 4}
    for n in range(5)
]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of a page with two arms, one of them trained, on two test sets."""
    root = tmp_path_factory.mktemp("report")
    places = lay_inputs(root, QUESTIONS, ANSWERS, {"base": EXAMPLES})
    write_csv(places.loss / "train_tuned.csv", "step,loss", "10,2.5", "20,1.5")
    write_csv(
        places.validation / "train_tuned.csv", "step,loss,execution_accuracy", "10,2.0,40.0", "20,1.0,60.0"
    )
    write_csv(places.throughput / "tokens_per_s/train_tuned.csv", "step,tokens_per_s", "10,900", "20,950")
    rows = {"rows": 10, "removed": 3, "removed_by_rule": {"question": 3}}
    write_json(places.metrics / "dedupe_test.json", rows)
    write_json(
        places.metrics / "convert_schema.json", {"schemas": 1, "valid": 1, "rows": 5, "rows_with_problems": 1}
    )
    file = root / "report.html"
    file.write_text(make_page(places, ["tuned"], Provenance([("Commit", HOSTILE)], {"torch": "2"}, HOSTILE)))
    return file.as_uri()


def opened(visit: Visit, address: str, hash: str = "") -> Page:
    """The page at `address`, when its script has run."""
    visit.page.goto(address + hash)
    visit.page.wait_for_function("document.getElementById('hits').textContent !== ''")
    return visit.page


def check(visit: Visit, address: str) -> None:
    """What the page must never do: an error in the console, a request, a script from the data."""
    assert visit.errors == []
    assert {request.split("#")[0] for request in visit.requests} == {address}
    assert visit.page.evaluate("window.hacked") is None


@pytest.fixture
def page(visit: Visit, address: str) -> Iterator[Page]:
    """The open page; after the test it is checked."""
    yield opened(visit, address)
    check(visit, address)


def listed(page: Page) -> list[tuple[str, ...]]:
    """Number, arm and answer of each row of the list."""
    rows = page.locator("#list tbody tr:has(a)").all()
    return [tuple(row.locator("td").nth(at).inner_text() for at in (0, 2, 3)) for row in rows]


def test_the_list_begins_with_the_best_arm_and_every_filter_narrows_it(page: Page) -> None:
    assert [row[1] for row in listed(page)] == ["tuned"] * 5
    assert page.inner_text("#hits") == "5 answers to 5 of 5 questions"
    page.select_option("#arm", label="all")
    assert page.inner_text("#hits") == "10 answers to 5 of 5 questions"
    page.select_option("#outcome", "wrong")
    assert listed(page) == [("1", "base", "wrong"), ("2", "tuned", "wrong"), ("3", "base", "wrong")]
    page.select_option("#kind", label="other comparison")
    assert listed(page) == [("2", "tuned", "wrong")]
    page.click("text=Reset")
    expect(page.locator("#hits")).to_have_text("5 answers to 5 of 5 questions")
    page.select_option("#set", "other")
    assert listed(page) == [("4", "tuned", "not scored")]
    page.click("text=Reset")
    page.select_option("#level", "medium")
    assert [row[0] for row in listed(page)] == ["1", "3"]


def test_right_in_one_arm_and_wrong_in_another(page: Page) -> None:
    page.select_option("#right", label="tuned")
    page.select_option("#wrong", label="base")
    page.select_option("#arm", label="tuned")
    assert listed(page) == [("1", "tuned", "right"), ("3", "tuned", "right")]
    assert page.inner_text("#hits") == "2 answers to 2 of 5 questions"


def test_free_text_finds_words_of_questions_and_of_sql(page: Page) -> None:
    page.fill("#text", "ITEMS many")
    assert [row[0] for row in listed(page)] == ["0"]
    page.fill("#text", "title")
    assert listed(page) == []
    page.select_option("#arm", label="all")
    assert listed(page) == [("3", "base", "wrong")]
    page.fill("#text", "nothing like this")
    assert page.inner_text("#hits") == "0 answers to 0 of 5 questions"
    assert page.inner_text("#list tbody") == "No answer passes the filters."


def test_an_answer_opens_with_enter_and_the_way_back_leads_to_its_row(page: Page) -> None:
    page.fill("#text", "item")
    link = page.locator("#list a").nth(2)
    link.focus()
    assert link.evaluate("node => getComputedStyle(node).outlineStyle") != "none"
    page.keyboard.press("Enter")
    expect(page.locator("#question h2")).to_be_focused()
    assert page.inner_text("#question h2") == "Which items are after the first?"
    assert page.inner_text(".verdict") == "Wrong. Tests id >= 1 instead of id > 1."
    assert page.locator("pre.predicted mark").all_inner_texts() == [">="]
    assert page.locator(".scroll.predicted td.differs").all_inner_texts() == ["tea"]
    assert "has 1 row that the gold result lacks" in page.inner_text("#question")
    assert page.locator("#overview").is_hidden()
    page.go_back()
    expect(link).to_be_focused()
    assert page.locator("#question").is_hidden()
    assert page.input_value("#text") == "item"  # the filters stay


def test_an_answer_shows_schema_prompt_and_the_other_arms(page: Page) -> None:
    page.select_option("#arm", label="base")
    page.click("text=Which item is the last one?")
    assert page.inner_text(".verdict") == "Wrong. Does not run: no such column: title."
    assert "It does not run: no such column: title." in page.inner_text("#question")
    page.click("text=Schema of shop")
    page.click("text=Prompt")
    assert page.locator("#question details pre").first.inner_text() == DDL
    prompt = page.locator("details", has_text="Prompt").inner_text()
    assert (
        "CREATE TABLE t (a);" in prompt and "Which item is the last one?" in prompt
    )  # an example, the question
    page.click("a:has-text('tuned')")
    expect(page.locator(".verdict")).to_have_text("Right: the same query.")
    page.click("nav.path a:has-text('Next')")
    expect(page.locator("#question h2")).to_contain_text("xxx")
    page.keyboard.press("Escape")
    expect(page.locator("#overview")).to_be_visible()


def test_hostile_data_is_shown_as_text(page: Page) -> None:
    assert HOSTILE in page.locator("#list a").nth(1).inner_text()
    assert page.locator("#provenance td").inner_text() == HOSTILE
    page.select_option("#arm", label="base")
    page.locator("#list a").nth(1).click()
    assert page.inner_text("#question h2") == f"Name all items {HOSTILE}"
    assert "-- <script>window.hacked = 6</script>" in page.inner_text("pre.predicted")
    cells = page.locator(".scroll.gold td").all_inner_texts()
    assert cells[1] == "<script>window.hacked = 1</script>"
    assert cells[2] == "x'00ff' (2 bytes)"
    assert cells[4:6] == ["NULL", "NULL"]
    assert cells[7].startswith("long long") and cells[7].endswith("… (10,000 characters)")
    assert cells[8].endswith("…' (4,000 bytes)")
    assert cells[9] == "a&amp;b {{ 7 * 7 }}"
    page.click("text=Schema of shop")
    assert HOSTILE in page.locator("details", has_text="Schema").inner_text()


def test_a_question_without_gold_and_an_answer_without_sql(visit: Visit, address: str) -> None:
    page = opened(visit, address, "#question=4&arm=tuned")
    assert page.inner_text(".verdict") == "Not scored: the question has no gold SQL."
    assert "The question has no gold SQL." in page.inner_text("#question")
    assert page.locator("pre.predicted").inner_text() == "(no SQL)"
    page.click("text=The whole answer")
    assert page.locator("details", has_text="The whole answer").locator("pre").inner_text() == "I cannot."
    check(visit, address)


def test_every_chart_is_drawn_once_and_has_a_text(page: Page) -> None:
    titles = page.locator("figcaption").all_inner_texts()
    assert titles == [
        "Execution accuracy with its 95 % interval",
        "Training loss",
        "Loss on held-out rows",
        "Execution accuracy on held-out rows",
        "Speed of training",
        "Score of the best example",
    ]
    for figure in page.locator("figure").all():
        assert figure.locator("svg:visible").count() == 1
        assert figure.locator("[role=img]:visible").get_attribute("aria-label")


def test_a_screen_reader_finds_headings_captions_and_labels(page: Page) -> None:
    levels = page.eval_on_selector_all("#overview :is(h2, h3)", "nodes => nodes.map(node => node.tagName)")
    assert page.locator("h1").count() == 1 and levels[0] == "H2"
    assert page.locator("table:not(:has(caption))").count() == 0
    fields = "#filters :is(input, select)"
    assert (
        page.locator(fields).count() == page.locator(f"label {fields.removeprefix('#filters ')}").count() == 9
    )
    assert page.get_attribute("#hits", "aria-live") == "polite"
    assert page.locator("thead th:not([scope=col]):not(.dt-orderable-asc)").count() == 0


def width(page: Page) -> int:
    found: int = page.evaluate("document.documentElement.scrollWidth")
    return found


def test_nothing_is_wider_than_a_phone(browser: Browser, address: str) -> None:
    with visiting(browser, viewport={"width": 360, "height": 700}) as visit:
        page = opened(visit, address)
        assert width(page) == 360
        for row in range(len(QUESTIONS)):
            page.goto(f"{address}#question={row}&arm=base")
            expect(page.locator("#question")).to_be_visible()
            assert width(page) == 360
        check(visit, address)


def test_colours_follow_the_scheme_and_are_readable_in_both(browser: Browser, address: str) -> None:
    seen = {}
    for scheme in ("light", "dark"):
        with visiting(browser, color_scheme=scheme) as visit:
            page = opened(visit, address, "#question=2&arm=tuned")
            names = ("body", ".about", ".verdict strong", ".k", "pre.predicted mark", "a")
            seen[scheme] = {name: contrast(page, name) for name in names}
            check(visit, address)
    assert all(ratio >= 4.5 for found in seen.values() for ratio in found.values()), seen  # WCAG AA
    assert seen["light"] != seen["dark"]


def contrast(page: Page, selector: str) -> float:
    """The contrast ratio of an element's text to the nearest background behind it, by WCAG."""
    ratio: float = page.locator(selector).first.evaluate(
        """node => {
            const numbers = (colour) => colour.match(/[\d.]+/g).map(Number);
            const light = (colour) => numbers(colour).slice(0, 3).map((value) => value / 255)
                .map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4))
                .reduce((sum, value, at) => sum + value * [0.2126, 0.7152, 0.0722][at], 0);
            let behind = node;
            const colour = () => getComputedStyle(behind).backgroundColor;
            while (behind.parentElement && (numbers(colour())[3] ?? 1) === 0) behind = behind.parentElement;
            const both = [light(getComputedStyle(node).color), light(colour())].sort((a, b) => b - a);
            return (both[0] + 0.05) / (both[1] + 0.05);
        }"""
    )
    return ratio


def test_one_arm_without_gold_has_a_list_and_no_filter_without_a_choice(visit: Visit, tmp_path: Path) -> None:
    places = lay_inputs(tmp_path, [question(0, "How many?", "")], {"only": ["SELECT count(*) FROM item"]})
    (tmp_path / "report.html").write_text(make_page(places))
    address = (tmp_path / "report.html").as_uri()
    page = opened(visit, address)
    assert page.inner_text("#hits") == "1 answers to 1 of 1 questions"
    assert page.locator("#filters label:visible").all_inner_texts()[0].startswith("Text")
    assert (
        page.locator("#arm:visible, #right:visible, #wrong:visible, #set:visible, #kind:visible").count() == 0
    )
    page.click("#list a")
    assert page.locator(".scroll.predicted td").inner_text() == "4"
    check(visit, address)


def test_the_same_inputs_give_the_same_bytes(tmp_path: Path) -> None:
    pages = [make_page(lay_inputs(tmp_path / name, QUESTIONS, ANSWERS)) for name in ("one", "two")]
    assert pages[0] == pages[1]
