"""Keys, and the page Sign in."""

import json
import os
import subprocess
import sys

import pytest
from drawings import SHAPES, draw
from served import Served

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def locked(tmp_path_factory, chromium):
    service = Served(tmp_path_factory.mktemp("locked"), "--keys")
    yield service
    service.stop()


@pytest.fixture(scope="module")
def admin_key(locked):
    (said,) = (line for line in locked.printed if "admin key" in line)
    return said.rsplit(" ", 1)[1]


def kiosk_key(locked: Served) -> str:
    command = [sys.executable, "-m", "firstsight", "serve", "keys", "add", "door", "--role", "kiosk", "--json"]
    environment = {**os.environ, "FIRSTSIGHT_HOME": str(locked.home)}
    made = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return str(json.loads(made.stdout)["key"])


def sign_in(page, key: str) -> None:
    page.get_by_label("Key").fill(key)
    page.get_by_role("button", name="Sign in").click()


def test_a_wrong_key_opens_nothing_and_the_right_one_leads_to_where_one_was_going(
    locked, admin_key, open_page, screenshot, accessible
):
    page = open_page(locked.address + "/model.html")
    page.wait_for_url("**/sign-in.html?next=%2Fmodel.html")
    page.get_by_label("Key").wait_for()
    screenshot(page, "sign-in")
    sign_in(page, "0" * 64)
    page.get_by_role("alert").get_by_text("This key is not known.").wait_for()
    accessible(page)
    assert page.get_by_role("link", name="People", exact=True).count() == 0
    sign_in(page, admin_key)
    page.wait_for_url("**/model.html")
    page.locator("main").get_by_text("What to expect of it").wait_for()
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/sign-in.html")
    page.goto(locked.address + "/people.html")
    page.wait_for_url("**/sign-in.html?next=*")


def test_who_is_signed_in_stays_so_over_a_restart_and_may_write(locked, admin_key, open_page):
    page = open_page(locked.address + "/sign-in.html")
    sign_in(page, admin_key)
    page.locator("main").get_by_text("Draw it once").wait_for()
    page.wait_for_selector("html[data-ready]")
    locked.stop()
    locked.start()
    draw(page, SHAPES["house"])  # the page of before, with a token of before
    page.get_by_label("Name").fill("house")
    page.get_by_role("button", name="Remember").click()
    page.locator("main").get_by_text("house is remembered, ").wait_for()


def test_a_kiosk_sees_the_door_alone(locked, open_page):
    page = open_page(locked.address + "/sign-in.html?next=/people.html")
    sign_in(page, kiosk_key(locked))
    page.wait_for_url("**/check-in.html")
    page.wait_for_selector("html[data-ready]")
    assert page.locator("nav a").all_inner_texts() == ["Check in"]


def test_next_leads_to_no_other_site(locked, admin_key, open_page):
    page = open_page(locked.address + "/sign-in.html?next=//example.org/")
    sign_in(page, admin_key)
    page.locator("main").get_by_text("Draw it once").wait_for()
    assert page.url == locked.address + "/"
