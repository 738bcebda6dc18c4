"""What holds for every page: languages, screens, contrast, no scripts but the server's."""

import pytest
from drawings import SHAPES, by_another_hand, draw, drawing, png

pytestmark = pytest.mark.browser

PAGES = (
    "/",
    "/people.html",
    "/model.html",
    "/check-in.html",
    "/log.html",
    "/sign-in.html",
    "/pair.html",
    "/privacy.html",
)
PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True, "device_scale_factor": 2}
LARGE_ENOUGH = 44  # CSS pixels, for a finger


@pytest.mark.parametrize("path", PAGES)
def test_axe_finds_nothing_serious_by_day_and_by_night(path, known, open_page, accessible):
    page = open_page(known.address + path)
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        accessible(page)


@pytest.mark.parametrize("path", PAGES)
def test_on_a_phone_nothing_is_cut_off_and_fingers_find_what_they_seek(path, known, open_page, accessible):
    page = open_page(known.address + path, locale="zh-CN", **PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    small = page.evaluate(
        """(least) => [...document.querySelectorAll("button, a[href], input, label.button, summary")]
            .filter((each) => each.checkVisibility() && !each.closest(".hidden-visually, .segmented, label.check"))
            .map((each) => [each.outerHTML.slice(0, 80), each.getBoundingClientRect().height])
            .filter(([, height]) => height < least)""",
        LARGE_ENOUGH,
    )
    assert [each for each in small if "brand" not in each[0]] == []
    accessible(page)


def test_on_a_phone_the_answer_stands_on_the_pad(known, open_page, screenshot):
    page = open_page(known.address, locale="zh-CN", **PHONE)
    draw(page, by_another_hand(SHAPES["moon"]))
    page.locator("#pad-answer", has_text="moon").wait_for()
    screenshot(page, "draw-phone-zh")


def test_the_language_is_the_browsers_and_switches_without_losing_the_drawing(known, open_page):
    page = open_page(known.address, locale="zh-CN")
    assert page.locator("h1").inner_text() == "画一次，就认得。"
    assert page.locator("html").get_attribute("lang") == "zh-Hans"
    draw(page, SHAPES["star"])
    page.locator("#answer", has_text="这是").wait_for()
    page.get_by_role("button", name="English").click()
    assert page.locator("h1").inner_text() == "Draw it once. It is known."
    assert "This is" in page.locator("#answer").inner_text()
    page.reload()
    page.wait_for_selector("html[data-ready]")
    assert page.locator("html").get_attribute("lang") == "en"  # it is remembered


def test_both_languages_have_every_text_and_pages_ask_for_no_other(known, open_page):
    page = open_page(known.address)
    en, zh = page.evaluate(
        """Promise.all(["en", "door.en", "zh", "door.zh"].map((name) => import(`/messages.${name}.js`)))
            .then(([{ en }, one, { zh }, other]) => [{ ...en, ...one.door }, { ...zh, ...other.door }])
            .then((both) => both.map(Object.keys))"""
    )
    assert not set(en) - set(zh)
    assert all(key.startswith(("error_", "hint_", "place_")) for key in set(zh) - set(en))


def test_no_page_loads_anything_from_elsewhere_or_runs_what_is_injected(known, open_page):
    page = open_page(known.address, may_complain=True)
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    for path in PAGES:
        page.goto(known.address + path)
        page.wait_for_selector("html[data-ready]")
    assert all(url.startswith((known.address, "blob:")) for url in asked)
    refused = page.evaluate(
        """new Promise((resolve) => {
            document.addEventListener("securitypolicyviolation", (event) => resolve(event.violatedDirective));
            const script = document.createElement("script");
            script.textContent = "window.injected = true";
            document.body.append(script);
            setTimeout(() => resolve("nothing"), 5000);
        })"""
    )
    assert refused.startswith("script-src")
    assert page.evaluate("window.injected") is None


def test_a_name_is_text_on_every_page(empty, open_page):
    name = '<img src="x" onerror="window.injected = true"> & "co"'
    number = empty.enroll(name, png(drawing(SHAPES["star"])))
    files = {"picture": ("star.png", png(drawing(SHAPES["star"])), "image/png")}
    empty.api("POST", "/v1/checkins", files=files, data={"direction": "in", "camera": "<b>door</b>"})
    page = open_page(empty.address)
    draw(page, SHAPES["star"])
    page.locator("#answer .name", has_text="window.injected").wait_for()
    shown = {"/": "#known", f"/people.html#{number}": "dialog", "/log.html": "#entries tbody"}
    for path, where in shown.items():
        page.goto(empty.address + path)
        page.locator(where, has_text=name).wait_for()
        assert page.locator('img[src="x"]').count() == 0
    page.locator("#entries tbody tr >> nth=0").get_by_role("button").click()
    page.get_by_role("dialog", name="Entry").get_by_text("<b>door</b>").wait_for()
    page.goto(empty.address + "/check-in.html")
    page.get_by_label("Use a picture").set_input_files(
        {"name": "star.png", "mimeType": "image/png", "buffer": png(drawing(SHAPES["star"]))}
    )
    page.get_by_role("button", name="Out", exact=True).click()
    page.locator("#answer .name", has_text=name).wait_for()
    page.locator("#said", has_text=name).wait_for(state="attached")
    assert page.locator('img[src="x"]').count() == 0
    assert page.evaluate("window.injected") is None
