"""The page Check in with the model `faces`, before a camera that sees photos of Labeled Faces in the Wild."""

import io
import zipfile

import pytest
from drawings import film, png
from PIL import Image
from served import Served

pytestmark = [pytest.mark.browser, pytest.mark.data]

PERSON, ANOTHER, STRANGER = "Tony_Blair", "Jennifer_Garner", "Andre_Agassi"


@pytest.fixture(scope="module")
def photo(shared_data):
    """The photo of a name with a number."""
    with zipfile.ZipFile(shared_data / "faces" / "lfw_dev_original.zip") as archive:

        def of(person, number):
            found = sorted(name for name in archive.namelist() if f"/{person}/" in name and name.endswith(".jpg"))
            return Image.open(io.BytesIO(archive.read(found[number]))).convert("RGB")

        yield of


@pytest.fixture(scope="module")
def door(tmp_path_factory, chromium, photo):
    """A service that knows two people, each from one photo."""
    pytest.importorskip("cv2", reason="no OpenCV: pip install 'firstsight[dev]'")
    served = Served(tmp_path_factory.mktemp("faces"), "--model", "faces")
    for name in (PERSON, ANOTHER):
        served.enroll(name, png(photo(name, 0)))
    yield served
    served.stop()


@pytest.fixture
def at_door(door, tmp_path, browser_with_camera, open_page):
    """Come to the camera; photos stand side by side before a wall."""

    def come(*photos):
        seen = Image.new("RGB", (640, 480), (150, 155, 160))
        for place, each in enumerate(photos):
            seen.paste(each.crop((40, 30, 210, 200)).resize((320, 320)), (place * 320, 80))
        browser = browser_with_camera(film(tmp_path / "film.mjpeg", seen))
        page = open_page(door.address + "/check-in.html", inside=browser)
        page.locator("#video").wait_for()
        page.get_by_role("button", name="In", exact=True).click()
        return page

    return come


def test_a_face_is_known_from_another_photo(at_door, photo):
    page = at_door(photo(PERSON, 1))
    page.locator("#answer .verdict.match").wait_for()
    assert page.locator("#answer .name").inner_text() == PERSON


def test_a_stranger_is_unknown(at_door, photo):
    at_door(photo(STRANGER, 0)).locator("#answer", has_text="Not recognized").wait_for()


def test_two_who_come_together_are_asked_to_come_one_at_a_time(at_door, photo):
    page = at_door(photo(PERSON, 1), photo(ANOTHER, 1))
    page.locator("#answer", has_text="One at a time").wait_for()
    assert page.locator("#still rect").count() == 2


def test_an_empty_room_shows_no_face(at_door):
    at_door().locator("#answer", has_text="No face to be seen").wait_for()


def test_somebody_is_enrolled_by_the_camera_and_forgotten_again(door, photo, tmp_path, browser_with_camera, open_page):
    seen = film(tmp_path / "film.mjpeg", photo(STRANGER, 1).crop((30, 20, 220, 210)).resize((480, 480)))
    page = open_page(door.address + "/people.html", inside=browser_with_camera(seen))
    page.get_by_role("button", name="Enroll").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Use the camera").click()
    dialog.get_by_role("button", name="Take the picture").click()
    dialog.locator(".drop-zone img").wait_for()
    dialog.get_by_label("Name").fill(STRANGER)
    dialog.get_by_role("button", name="Remember").click()
    dialog.get_by_text(f"{STRANGER} is remembered, ").wait_for()
    asked = door.api("POST", "/v1/identify", files={"picture": ("a.png", png(photo(STRANGER, 2)), "image/png")})
    assert asked["name"] == STRANGER
    door.api("DELETE", f"/v1/people/{asked['person_id']}")
