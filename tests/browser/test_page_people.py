"""The page People."""

import json

import pytest
from drawings import SHAPES, by_another_hand, draw, drawing, png
from PIL import Image

pytestmark = pytest.mark.browser


def as_file(picture: Image.Image) -> dict[str, object]:
    return {"name": "picture.png", "mimeType": "image/png", "buffer": png(picture)}


def test_somebody_is_enrolled_from_one_picture_with_a_note_on_consent(known, open_page, screenshot, accessible):
    page = open_page(known.address + "/people.html")
    assert page.locator("#total").inner_text().startswith("3 are known here")
    page.get_by_role("button", name="Enroll").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Remember").click()
    dialog.get_by_label("Name").fill("cross")
    dialog.get_by_role("button", name="Remember").click()
    dialog.get_by_text("Choose a picture first.").wait_for()
    dialog.get_by_label("Choose a picture").set_input_files(as_file(drawing(SHAPES["cross"])))
    dialog.get_by_label("Consent").fill("form 7")
    accessible(page)
    screenshot(page, "enroll")
    dialog.get_by_role("button", name="Remember").click()
    dialog.get_by_text("cross is remembered, from one picture.").wait_for()
    page.keyboard.press("Escape")
    page.locator(".person", has_text="cross").click()
    page.get_by_role("dialog").get_by_text("form 7").wait_for()


def test_a_poor_picture_is_refused_with_its_reasons_and_enrolled_by_whoever_insists(known, open_page):
    page = open_page(known.address + "/people.html")
    page.get_by_role("button", name="Enroll").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Choose a picture").set_input_files(as_file(drawing(SHAPES["star"])))
    dialog.get_by_label("Name").fill("comet")
    dialog.get_by_role("button", name="Remember").click()
    assert "It looks like star: distance 0.00" in dialog.get_by_role("alert").inner_text()
    dialog.get_by_role("button", name="Remember it anyway").click()
    dialog.get_by_text("comet is remembered").wait_for()
    assert "they may be taken for each other" in dialog.inner_text()


def test_pictures_are_added_and_who_is_forgotten_leaves_a_receipt(known, open_page, screenshot, accessible):
    page = open_page(known.address + "/people.html")
    screenshot(page, "people")
    page.locator(".person", has_text="star").click()
    dialog = page.get_by_role("dialog").first
    dialog.get_by_label("Choose a picture").set_input_files(as_file(drawing(by_another_hand(SHAPES["star"]))))
    dialog.get_by_text("star is now known from 2 pictures.").wait_for()
    dialog.locator(".pictures li >> nth=1").wait_for()
    accessible(page)
    dialog.get_by_role("button", name="Forget").click()
    page.get_by_role("dialog", name="Forget star?").get_by_role("button", name="Cancel").click()
    assert len(known.api("GET", "/v1/people")["people"]) == 3  # asked, and not done
    dialog.get_by_role("button", name="Forget").click()
    page.get_by_role("dialog", name="Forget star?").get_by_role("button", name="Forget").click()
    receipt = page.get_by_role("dialog", name="star is forgotten")
    assert "Templates erased\n2" in receipt.inner_text()
    with page.expect_download() as download:
        receipt.get_by_role("link", name="Save the receipt").click()
    assert json.loads(download.value.path().read_bytes())["name"] == "star"
    assert [person["name"] for person in known.api("GET", "/v1/people")["people"]] == ["moon", "house"]
    page.keyboard.press("Escape")
    page.locator(".person", has_text="star").wait_for(state="detached")


def test_who_is_forgotten_is_not_known_any_more(known, open_page):
    page = open_page(known.address)
    draw(page, SHAPES["star"])
    page.locator("#answer .verdict.match").wait_for()
    (star,) = known.api("GET", "/v1/people?search=star")["people"]
    known.api("DELETE", f"/v1/people/{star['id']}")
    page.get_by_role("button", name="Clear").click()
    draw(page, SHAPES["star"])
    page.locator("#answer .verdict.unknown").wait_for()


def test_many_are_shown_a_page_at_a_time_and_found_by_name(empty, open_page):
    picture = png(drawing(SHAPES["star"]))
    for number in range(50):
        empty.api(
            "POST",
            "/v1/people",
            files={"picture": ("a.png", picture, "image/png")},
            data={"name": f"person {number:02}", "anyway": "true"},
        )
    page = open_page(empty.address + "/people.html")
    assert page.locator(".person").count() == 48
    page.get_by_role("button", name="Show more").click()
    page.locator(".person >> nth=49").wait_for()
    assert page.evaluate("document.activeElement.textContent").startswith("person 48")
    page.get_by_role("searchbox").fill("41")
    page.locator(".person >> nth=1").wait_for(state="detached")
    assert page.locator(".person strong").inner_text() == "person 41"
    page.get_by_role("searchbox").fill("nobody")
    page.locator("main").get_by_text("Nobody is called “nobody”.").wait_for()
