"""The page Check in with the model `faces`, behind the check of examples/own_check.py."""

from pathlib import Path

import pytest
from drawings import film, png
from faces import portrait
from PIL import Image
from served import Served

pytestmark = pytest.mark.browser

EXAMPLE = Path(__file__).parents[2] / "examples" / "own_check.py"


@pytest.fixture(scope="module")
def door(tmp_path_factory, chromium):
    """A service with a check, which knows one person."""
    pytest.importorskip("cv2", reason="no OpenCV: pip install 'firstsight[dev]'")
    home = tmp_path_factory.mktemp("checked")
    options = ("--model", "faces", "--gallery", str(home / "door.sqlite"))
    served = Served(home, *options, program=[str(EXAMPLE)])
    served.enroll("Eileen Collins", png(portrait()))
    yield served
    served.stop()


@pytest.fixture
def at_door(door, tmp_path, browser_with_camera, open_page):
    """Come to the camera: a face of so many pixels before a wall."""

    def come(side):
        seen = Image.new("RGB", (640, 480), (150, 155, 160))
        seen.paste(portrait().crop((120, 0, 330, 210)).resize((side, side)), (320 - side // 2, 240 - side // 2))
        browser = browser_with_camera(film(tmp_path / "film.mjpeg", seen))
        page = open_page(door.address + "/check-in.html", inside=browser)
        page.locator("#video").wait_for()
        return page

    return come


def test_what_a_check_refuses_is_said_at_the_door_and_in_the_log(door, at_door, open_page, accessible):
    page = at_door(400)
    page.get_by_role("button", name="In", exact=True).click()
    page.locator("#answer .name", has_text="Eileen Collins").wait_for()
    page.get_by_role("button", name="Out", exact=True).click()
    page.locator("#answer", has_text="This picture does not count").wait_for()
    assert "Come in person, without a picture or a screen. Or ask an operator." in page.locator("#answer").inner_text()
    accessible(page)
    newest = door.api("GET", "/v1/checkins")["entries"][0]
    assert (newest["verdict"], newest["name"], newest["decision"]["reason"]) == ("vetoed", None, "was shown before")
    log = open_page(door.address + "/log.html")
    assert log.locator("#entries tbody th").first.inner_text() == "refused by a check"
    log.locator("#entries tbody tr >> nth=0").get_by_role("button").click()
    assert "Reason\nwas shown before" in log.get_by_role("dialog").inner_text()


def test_who_stands_too_far_away_is_asked_to_come_nearer(at_door):
    page = at_door(46)
    page.get_by_role("button", name="In", exact=True).click()
    page.locator("#answer", has_text="Too far away").wait_for()
    assert "Come nearer, until your face fills a third of the picture" in page.locator("#answer").inner_text()
    assert page.locator("#still rect").count() == 1
