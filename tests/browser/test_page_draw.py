"""The page Draw."""

import pytest
from drawings import SHAPES, by_another_hand, draw, drawing, png

pytestmark = pytest.mark.browser


def test_a_stranger_is_not_known_and_the_nearest_is_named(known, open_page, screenshot):
    page = open_page(known.address)
    draw(page, by_another_hand(SHAPES["star"]))
    page.locator("#answer .verdict.match").wait_for()
    screenshot(page, "draw")
    page.get_by_role("button", name="Clear").click()
    draw(page, SHAPES["cross"])
    assert "Not known" in page.locator("#answer .verdict.unknown").inner_text()
    assert "but not near enough" in page.locator("#answer .verdict.unknown").inner_text()


def test_with_nobody_enrolled_three_steps_lead_on(empty, open_page, accessible):
    page = open_page(empty.address)
    current = page.locator("#steps [aria-current]")
    assert current.inner_text() == "Draw a symbol"
    draw(page, SHAPES["star"])
    assert current.inner_text() == "Give it a name"
    page.get_by_label("Name").fill("star")
    page.keyboard.press("Enter")
    page.locator("main").get_by_text("star is remembered, ").wait_for()
    assert current.inner_text() == "Draw it again, and see it known"
    accessible(page)


def test_a_look_alike_is_refused_and_can_be_added_to_whom_it_is(known, open_page):
    page = open_page(known.address)
    draw(page, SHAPES["star"])
    page.get_by_label("name", exact=False).fill("comet")
    page.get_by_role("button", name="Remember").click()
    refusal = page.get_by_role("alert")
    assert "It looks like star" in refusal.inner_text()
    refusal.get_by_role("button", name="It is star: add the picture").click()
    page.locator("main").get_by_text("star is now known from 2 pictures.").wait_for()
    assert "comet" not in [person["name"] for person in known.api("GET", "/v1/people")["people"]]


def test_a_name_that_is_known_is_offered_the_picture(known, open_page):
    page = open_page(known.address)
    draw(page, by_another_hand(SHAPES["moon"]))
    page.get_by_label("name", exact=False).fill("moon")
    page.get_by_role("button", name="Remember").click()
    page.get_by_role("button", name="Add to moon").click()
    page.locator("main").get_by_text("moon is now known from 2 pictures.").wait_for()


def test_undo_takes_the_last_stroke_back_and_clear_all(known, open_page):
    page = open_page(known.address)
    draw(page, SHAPES["house"])
    page.locator("#answer .verdict.match").wait_for()
    draw(page, SHAPES["cross"])
    page.locator("#answer .verdict.unknown").wait_for()
    for _ in SHAPES["cross"]:
        page.get_by_role("button", name="Undo").click()
    page.locator("#answer .verdict.match").wait_for()
    page.get_by_role("button", name="Clear").click()
    assert page.locator("#answer > *").count() == 0
    assert page.get_by_role("button", name="Undo").is_disabled()


def test_a_picture_serves_in_place_of_a_drawing(known, open_page):
    page = open_page(known.address)
    photo = {"name": "moon.png", "mimeType": "image/png", "buffer": png(drawing(SHAPES["moon"], 500, 300))}
    page.get_by_label("Use a picture").set_input_files(photo)
    assert page.locator("#answer .name").inner_text() == "moon"
    draw(page, SHAPES["star"])  # takes the place of the picture
    page.locator("#answer .name", has_text="star").wait_for()


def test_what_is_no_picture_is_refused_with_a_sentence(known, open_page):
    page = open_page(known.address)
    page.get_by_label("Use a picture").set_input_files({"name": "a.png", "mimeType": "image/png", "buffer": b"text"})
    assert "not a picture" in page.get_by_role("alert").inner_text()


def test_keys_alone_draw_name_and_are_told_the_answer(empty, open_page):
    page = open_page(empty.address)

    def draw_a_square(side: int) -> None:
        page.get_by_role("application", name="Drawing pad").focus()
        page.keyboard.press("Space")
        page.locator("#said", has_text="Pen down").wait_for()
        for key in ("ArrowUp", "ArrowRight", "ArrowDown", "ArrowLeft"):
            for _ in range(side):
                page.keyboard.press(f"Shift+{key}")
        page.keyboard.press("Space")

    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    draw_a_square(3)
    while page.evaluate("document.activeElement.id") != "name":
        page.keyboard.press("Tab")
    page.keyboard.type("square")
    page.keyboard.press("Enter")
    page.locator("main").get_by_text("square is remembered, ").wait_for()
    draw_a_square(4)
    page.locator("#said", has_text="This is square. Distance").wait_for()
