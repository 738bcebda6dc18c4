"""The page Log."""

import csv
import io

import pytest
from drawings import SHAPES, drawing, png

pytestmark = pytest.mark.browser


DAY = "star in, moon in, wave in, house in, cross in, moon out, house out, wave out, cross out, star out"


@pytest.fixture
def seen(known):
    """Four came and went, and twice somebody whom nobody knows."""
    known.enroll("cross", png(drawing(SHAPES["cross"])))
    for badge, direction in map(str.split, DAY.split(", ")):
        files = {"picture": ("badge.png", png(drawing(SHAPES[badge])), "image/png")}
        known.api("POST", "/v1/checkins", files=files, data={"direction": direction, "camera": "door"})
    return known


def names(page):
    return page.locator("#entries tbody th").all_inner_texts()


def test_the_entries_of_a_day_stand_newest_first_with_their_evidence(seen, open_page, screenshot, accessible):
    page = open_page(seen.address + "/log.html")
    assert names(page)[:4] == ["star", "cross", "unknown", "house"]
    accessible(page)
    screenshot(page, "log")
    page.locator("#entries tbody tr >> nth=0").get_by_role("button").click()
    dialog = page.get_by_role("dialog")
    text = dialog.inner_text()
    assert "Camera\ndoor" in text
    assert "Nearest\nstar, 0.0" in text
    accessible(page)
    screenshot(page, "entry")


def test_an_operator_corrects_and_confirms_an_entry(seen, open_page):
    page = open_page(seen.address + "/log.html")
    page.locator("#entries tbody tr >> nth=2").get_by_role("button").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Who it was").fill("nobody of this name")
    dialog.get_by_role("button", name="Correct").click()
    dialog.get_by_text("Nobody is called “nobody of this name”.").wait_for()
    dialog.get_by_label("Who it was").fill("moon")
    dialog.get_by_role("button", name="Correct").click()
    dialog.locator(".big", has_text="moon").wait_for()
    page.keyboard.press("Escape")
    assert names(page)[2] == "moon"
    assert "corrected" in page.locator("#entries tbody tr >> nth=2").inner_text()
    page.locator("#entries tbody tr >> nth=0").get_by_role("button").click()
    dialog.get_by_role("button", name="It is right").click()
    page.locator("#entries tbody tr >> nth=0", has_text="right").wait_for()
    newest, _, corrected = seen.api("GET", "/v1/checkins?limit=3")["entries"]
    assert (newest["review"], newest["name"]) == ("confirmed", "star")
    assert (corrected["review"], corrected["name"]) == ("corrected", "moon")
    assert corrected["decision"]["decision"] == "unknown"  # what was decided stays


def test_it_is_filtered_by_person_and_day_and_exported_as_shown(seen, open_page):
    page = open_page(seen.address + "/log.html")
    page.get_by_label("Person").fill("star")
    page.keyboard.press("Enter")
    page.locator("#entries tbody th", has_text="unknown").first.wait_for(state="detached")
    assert set(names(page)) == {"star"}
    with page.expect_download() as download:
        page.get_by_role("link", name="Export CSV").click()
    rows = list(csv.DictReader(io.StringIO(download.value.path().read_text(encoding="utf-8-sig"))))
    assert {row["name"] for row in rows} == {"star"}
    assert [row["direction"] for row in rows][-2:] == ["in", "out"]
    page.get_by_label("Day", exact=True).fill("2020-02-29")
    page.locator("#content .empty", has_text="Nothing was noted.").wait_for()
    page.get_by_label("Person").fill("nobody of this name")
    page.keyboard.press("Enter")
    page.get_by_role("link", name="Export CSV").wait_for(state="hidden")


def test_the_report_of_a_day_says_first_in_and_last_out(seen, open_page, screenshot, accessible):
    page = open_page(seen.address + "/log.html")
    page.get_by_role("radio", name="Day report").check()
    page.locator("#report").wait_for()
    lines = [line.split("\t") for line in page.locator("#report tbody").inner_text().splitlines()]
    assert [name for name, *_ in lines] == ["cross", "house", "moon", "star"]
    assert all(len(first) == 5 and first <= last and seen == "2" for _, first, last, seen in lines)
    accessible(page)
    screenshot(page, "day-report")


def test_an_answer_that_comes_late_is_not_shown_under_another_filter(seen, open_page):
    page = open_page(seen.address + "/log.html")
    held = []
    page.route("**/v1/checkins?*", lambda route: held.append(route))
    with page.expect_request("**/v1/checkins?*"):
        page.locator("#day").dispatch_event("change")
    page.locator("#person").fill("nobody of this name")
    page.locator("#person").dispatch_event("change")
    page.locator("#content", has_text="Nobody is called").wait_for()
    with page.expect_response("**/v1/checkins?*"):
        held[0].continue_()
    page.evaluate("() => new Promise((done) => setTimeout(done))")  # what the answer sets off is over
    assert "Nobody is called" in page.locator("#content").inner_text()
