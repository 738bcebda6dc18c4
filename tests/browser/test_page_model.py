"""The page Model."""

import pytest
from drawings import SHAPES, drawing, png
from served import Served

pytestmark = pytest.mark.browser


def test_the_promise_stands_in_words_and_the_slider_says_what_another_threshold_costs(
    known, open_page, screenshot, accessible
):
    page = open_page(known.address + "/model.html")
    assert (
        page.locator("#promise").inner_text()
        == "At most 1 stranger in 20 is let in, 95\u00a0% sure, from 254 identities."
    )
    (model,) = known.api("GET", "/v1/models")["models"]
    assert page.locator("#at").inner_text() == f"{model['threshold']:.2f}"
    page.set_viewport_size({"width": 1024, "height": 1240})
    screenshot(page, "model")
    accessible(page)
    before = page.locator("#costs").inner_text()
    page.get_by_role("slider").focus()
    for _ in range(10):
        page.keyboard.press("ArrowLeft")
    assert float(page.locator("#at").inner_text()) == pytest.approx(model["threshold"] - 0.2, abs=0.02)
    assert page.locator("#costs").inner_text() != before
    page.get_by_role("button", name="Back to the threshold now").click()
    assert page.locator("#costs").inner_text() == before


def test_the_curves_are_those_of_the_server(known, open_page):
    curves = known.api("GET", "/v1/models")["models"][0]["curves"]
    page = open_page(known.address + "/model.html")
    page.locator("summary").click()
    rows = [row.split("\t") for row in page.locator("#table tbody").inner_text().splitlines()]
    assert len(rows) > 10
    for threshold, let_in, turned_away in rows:
        at = curves["threshold"].index(float(threshold))
        assert float(let_in.rstrip(" %")) == pytest.approx(100 * curves["far"][at], rel=0.06, abs=1e-9)
        assert float(turned_away.rstrip(" %")) == pytest.approx(100 * curves["frr"][at], rel=0.06, abs=1e-9)
    dot = page.locator("#roc circle")
    before = float(dot.get_attribute("cx"))
    page.get_by_role("slider").press("End")
    assert float(dot.get_attribute("cx")) > before  # looser: more strangers


def test_a_threshold_given_by_hand_promises_nothing(tmp_path, open_page):
    service = Served(tmp_path, "--threshold", "3.5")
    try:
        service.enroll("star", png(drawing(SHAPES["star"])))
        page = open_page(service.address + "/model.html")
        assert "3.50, a threshold given by hand." in page.locator("#promise").inner_text()
        assert page.locator("#promise-note").inner_text().startswith("So nothing is promised about strangers.")
        assert page.locator("#words p").count() == 0
    finally:
        service.stop()


def test_a_gallery_larger_than_its_evidence_is_not_said_to_keep_the_promise(known, open_page):
    (model,) = known.api("GET", "/v1/models")["models"]
    large = {"models": [model | {"templates": 1000, "bound": 0.18}]}

    def answer(route):
        route.fulfill(json=large)

    page = open_page(known.address + "/people.html")
    page.route("**/v1/models", answer)
    page.goto(known.address + "/model.html")
    page.wait_for_selector("html[data-ready]")
    assert page.locator("#promise").inner_text().startswith("At most 1 stranger in 5 is let in")
    note = page.locator("#promise-note").inner_text()
    assert note.startswith("That is more than was aimed at: 1,000 pictures are enrolled,")
