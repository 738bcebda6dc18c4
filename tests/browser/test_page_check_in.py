"""The page Check in, before a camera that sees badges with drawn symbols."""

import signal
from datetime import UTC, datetime

import pytest
from drawings import SHAPES, by_another_hand, drawing, film, png

pytestmark = pytest.mark.browser


@pytest.fixture
def at_door(known, tmp_path, browser_with_camera, open_page):
    """Open the page where the camera sees a badge (None: nothing), and wait until it does."""

    def open_door(badge, address="/check-in.html", **options):
        seen = drawing(by_another_hand(SHAPES[badge]) if badge else [], 640, 480)
        page = open_page(
            known.address + address, inside=browser_with_camera(film(tmp_path / "film.mjpeg", seen)), **options
        )
        if address == "/check-in.html":
            page.locator("#video").wait_for()
        return page

    return open_door


@pytest.fixture
def entries(known):
    """What the log holds since the test began, oldest first, of today."""
    before = {entry["id"] for entry in known.api("GET", "/v1/checkins?limit=500")["entries"]}

    def since():
        held = known.api("GET", "/v1/checkins?limit=500")["entries"]
        return [entry for entry in reversed(held) if entry["id"] not in before]

    return since


def test_one_touch_checks_in_and_once_in_five_minutes(at_door, entries, screenshot, accessible):
    page = at_door("star")
    page.get_by_role("button", name="In", exact=True).click()
    page.locator("main").get_by_text("Welcome", exact=True).wait_for()
    assert page.locator("#answer .name").inner_text() == "star"
    page.locator("#said", has_text="Welcome, star.").wait_for()
    screenshot(page, "check-in")
    accessible(page)
    page.get_by_role("button", name="In", exact=True).click()
    page.locator("main").get_by_text("Already noted", exact=True).wait_for()
    page.get_by_role("button", name="Out", exact=True).click()
    page.locator("main").get_by_text("Goodbye", exact=True).wait_for()
    assert [(entry["name"], entry["direction"]) for entry in entries()] == [("star", "in"), ("star", "out")]


def test_a_stranger_is_told_what_to_do_and_is_in_the_log(at_door, entries, screenshot):
    page = at_door("wave")
    page.get_by_role("button", name="In", exact=True).click()
    page.locator("main").get_by_text("Not recognized").wait_for()
    page.locator("main").get_by_text("Come nearer, face the light, and try again.").wait_for()
    screenshot(page, "check-in-unknown")
    assert [entry["verdict"] for entry in entries()] == ["unknown"]


def test_of_two_who_are_as_near_neither_is_named_as_the_one(at_door, known, entries):
    star = {"picture": ("picture.png", png(drawing(SHAPES["star"])), "image/png")}
    known.api("POST", "/v1/people", files=star, data={"name": "comet", "anyway": "true"})
    page = at_door("star")
    page.get_by_role("button", name="In", exact=True).click()
    page.locator("main").get_by_text("Not sure who").wait_for()
    said = page.locator("#answer").inner_text()
    assert any(f"It could be {names}. Look straight ahead" in said for names in ("star or comet", "comet or star"))
    assert [(entry["verdict"], entry["name"]) for entry in entries()] == [("ambiguous", None)]


def test_with_nothing_before_the_camera_it_says_so(at_door, entries):
    page = at_door(None)
    page.get_by_role("button", name="In", exact=True).click()
    page.locator("main").get_by_text("Nothing to recognize").wait_for()
    assert entries() == []
    assert page.locator("#waiting").is_hidden()


def test_not_me_takes_it_back_and_an_operator_confirms(at_door, entries):
    page = at_door("moon")
    page.get_by_role("button", name="In", exact=True).click()
    page.get_by_role("button", name="Not me").click()
    page.locator("main").get_by_text("Taken back.", exact=True).wait_for()
    (entry,) = entries()
    assert (entry["verdict"], entry["review"], entry["decision"]["name"]) == ("unknown", "corrected", "moon")
    page.get_by_role("button", name="Out", exact=True).click()
    page.get_by_role("button", name="It is right").click()
    page.locator("main").get_by_text("Noted as right.", exact=True).wait_for()
    assert entries()[-1]["review"] == "confirmed"


def test_without_a_camera_a_picture_is_used(known, open_page, entries):
    page = open_page(known.address + "/check-in.html")
    page.locator("main").get_by_text("There is no camera here.").wait_for()
    page.get_by_role("button", name="In", exact=True).click()
    page.locator("main").get_by_text("Choose a picture first.").wait_for()
    badge = {"name": "badge.png", "mimeType": "image/png", "buffer": png(drawing(SHAPES["house"]))}
    page.get_by_label("Use a picture").set_input_files(badge)
    page.get_by_role("button", name="In", exact=True).click()
    page.locator("main").get_by_text("Welcome", exact=True).wait_for()
    assert [entry["name"] for entry in entries()] == ["house"]


def test_a_picture_is_used_once(known, open_page, entries):
    """Whoever touches next is not taken for the one in it."""
    page = open_page(known.address + "/check-in.html")
    star = {"name": "me.png", "mimeType": "image/png", "buffer": png(drawing(SHAPES["star"]))}
    page.locator("#file").set_input_files(star)
    page.get_by_role("button", name="In", exact=True).click()
    page.locator("main").get_by_text("Welcome", exact=True).wait_for()
    page.get_by_role("button", name="Out", exact=True).click()
    page.locator("#answer [role=alert]").wait_for()
    assert [entry["name"] for entry in entries()] == ["star"]


def test_a_picture_is_used_over_plain_http_too_where_browsers_give_less(known, open_page, entries):
    page = open_page(known.address + "/check-in.html")
    page.add_init_script("delete Crypto.prototype.randomUUID; delete Navigator.prototype.mediaDevices")
    page.reload()
    page.wait_for_selector("html[data-ready]")
    page.get_by_label("Use a picture").set_input_files(
        {"name": "badge.png", "mimeType": "image/png", "buffer": png(drawing(SHAPES["moon"]))}
    )
    page.get_by_role("button", name="In", exact=True).click()
    page.locator("main").get_by_text("Welcome", exact=True).wait_for()
    assert [entry["name"] for entry in entries()] == ["moon"]


def test_what_is_noted_while_the_server_is_away_arrives_once(at_door, known, entries, screenshot):
    page = at_door("star")
    known.stop(signal.SIGKILL)
    page.get_by_role("button", name="In", exact=True).click()
    page.locator("main").get_by_text("it will be checked as soon as it does").wait_for()
    page.locator("main").get_by_text("1 check-in waits for the server").wait_for()
    page.get_by_role("button", name="Out", exact=True).click()
    page.locator("main").get_by_text("2 check-ins wait for the server").wait_for()
    screenshot(page, "check-in-away")
    known.start()
    back = datetime.now(UTC)
    page.locator("#late li >> nth=1").wait_for(timeout=60_000)
    assert page.locator("#late li").all_inner_texts()[0].endswith("Out: star")
    page.locator("#waiting").wait_for(state="hidden")
    assert {(entry["name"], entry["direction"]) for entry in entries()} == {("star", "in"), ("star", "out")}
    assert len(entries()) == 2
    assert all(datetime.fromisoformat(entry["time"]) < back for entry in entries()), "noted when it was, not when sent"


@pytest.mark.parametrize("status", [200, 201, 400])
def test_an_answer_that_is_not_the_servers_loses_nothing(at_door, entries, status):
    page = at_door("house")
    portal = {"status": status, "content_type": "text/html", "body": "<!doctype html><title>Sign in</title>"}
    page.route("**/v1/checkins", lambda route: route.fulfill(**portal))
    page.get_by_role("button", name="In", exact=True).click()
    page.locator("main").get_by_text("1 check-in waits for the server").wait_for()
    assert entries() == []
    page.unroute("**/v1/checkins")
    page.locator("#late li", has_text="In: house").wait_for()
    assert [entry["name"] for entry in entries()] == ["house"]


@pytest.mark.parametrize(("status", "code"), [(408, "too-slow"), (500, "failed")])
def test_what_may_go_well_at_the_next_try_is_kept(at_door, entries, status, code):
    page = at_door("house")
    problem = {"code": code, "message": "It did not work.", "hint": "Try again."}
    page.route("**/v1/checkins", lambda route: route.fulfill(status=status, json=problem))
    page.get_by_role("button", name="In", exact=True).click()
    page.locator("main").get_by_text("1 check-in waits for the server").wait_for()
    page.unroute("**/v1/checkins")
    page.locator("#late li", has_text="In: house").wait_for()
    assert [entry["name"] for entry in entries()] == ["house"]


def test_a_camera_that_shows_nothing_for_a_moment_does_not_stop_the_door(at_door, entries):
    page = at_door("house")
    page.evaluate(
        """() => {
          const toBlob = HTMLCanvasElement.prototype.toBlob;
          HTMLCanvasElement.prototype.toBlob = function (take) {
            HTMLCanvasElement.prototype.toBlob = toBlob;
            take(null);
          };
        }"""
    )
    page.get_by_role("button", name="In", exact=True).click()
    page.locator("#answer").get_by_text("The camera cannot be used.").wait_for()
    page.get_by_role("button", name="In", exact=True).click()
    page.locator("main").get_by_text("Welcome", exact=True).wait_for()
    assert [entry["name"] for entry in entries()] == ["house"]


def test_what_the_server_cannot_answer_to_keeps_nothing_else_back(at_door, entries):
    page = at_door("moon")
    moving = {"status": 409, "json": {"code": "other-model", "message": "The gallery was moved.", "hint": ""}}

    def move_for_those_who_come_in(route):
        coming_in = b'name="direction"\r\n\r\nin\r\n' in route.request.post_data_buffer
        return route.fulfill(**moving) if coming_in else route.continue_()

    page.route("**/v1/checkins", move_for_those_who_come_in)
    page.get_by_role("button", name="In", exact=True).click()
    page.locator("main").get_by_text("1 check-in waits for the server").wait_for()
    page.context.set_offline(True)
    page.get_by_role("button", name="Out", exact=True).click()
    page.locator("main").get_by_text("2 check-ins wait for the server").wait_for()
    page.context.set_offline(False)
    page.locator("#late li", has_text="Out: moon").wait_for()
    page.locator("main").get_by_text("1 check-in waits for the server").wait_for()
    assert [entry["direction"] for entry in entries()] == ["out"]
    page.unroute("**/v1/checkins")
    page.evaluate("dispatchEvent(new Event('online'))")
    page.locator("#late li", has_text="In: moon").wait_for()
    page.locator("#waiting").wait_for(state="hidden")


def test_a_browser_that_can_keep_nothing_promises_nothing(at_door, entries):
    page = at_door("star")
    page.evaluate(
        "() => { IDBObjectStore.prototype.put = () => { throw new DOMException('', 'QuotaExceededError'); }; }"
    )
    page.get_by_role("button", name="In", exact=True).click()
    page.locator("main").get_by_text("Welcome", exact=True).wait_for()
    page.route("**/v1/checkins", lambda route: route.abort())
    page.get_by_role("button", name="Out", exact=True).click()
    page.locator("main").get_by_text("Not noted", exact=True).wait_for()
    assert page.locator("#waiting").is_hidden()
    assert [entry["direction"] for entry in entries()] == ["in"]


def test_what_waits_outlives_the_page(at_door, known, entries):
    page = at_door("moon")
    page.route("**/v1/checkins", lambda route: route.abort())
    page.get_by_role("button", name="In", exact=True).click()
    page.locator("main").get_by_text("1 check-in waits for the server").wait_for()
    page.unroute("**/v1/checkins")
    page.goto(known.address + "/model.html")
    assert entries() == []
    page.goto(known.address + "/check-in.html")
    page.locator("#late li", has_text="In: moon").wait_for()
    assert [entry["name"] for entry in entries()] == ["moon"]


def test_an_answer_that_is_lost_on_the_way_makes_no_second_entry(at_door, entries):
    page = at_door("star")
    lost = []

    def lose_the_first(route):
        if lost:
            return route.continue_()
        lost.append(route.fetch().status)  # the server has noted it
        return route.abort()

    page.route("**/v1/checkins", lose_the_first)
    page.get_by_role("button", name="In", exact=True).click()
    page.locator("#late li", has_text="In: star").wait_for()
    assert lost == [201]
    assert [entry["name"] for entry in entries()] == ["star"]


def test_somebody_is_enrolled_by_the_camera(at_door, known):
    page = at_door("cross", "/people.html")
    page.get_by_role("button", name="Enroll").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Use the camera").click()
    dialog.get_by_role("button", name="Take the picture").click()
    dialog.locator(".drop-zone img").wait_for()
    dialog.get_by_label("Name").fill("cross")
    dialog.get_by_role("button", name="Remember").click()
    dialog.get_by_text("cross is remembered, ").wait_for()
    asked = known.api("POST", "/v1/identify", files={"picture": ("a.png", png(drawing(SHAPES["cross"])), "image/png")})
    assert asked["name"] == "cross"
