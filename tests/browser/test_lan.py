"""`serve --lan` as a tablet finds it: over a network of the test's own, in a namespace that nothing else sees."""

import json
import os
import shutil
import subprocess
import sys
from base64 import b64encode
from collections.abc import Callable, Iterator
from hashlib import sha256

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from playwright.sync_api import Browser, Page, Playwright
from served import Served

pytestmark = pytest.mark.browser
ADDRESS = "192.0.2.7"  # of documentation: no real network has it
UP = f"ip link set lo up && ip link add lan type bridge && ip addr add {ADDRESS}/24 dev lan && ip link set lan up"


@pytest.fixture(scope="module")
def inside() -> Iterator[list[str]]:
    """Words before a command that have it run in the namespace; the test is skipped where none may be made."""
    if not all(map(shutil.which, ("unshare", "nsenter", "ip"))):
        pytest.skip("unshare, nsenter or ip is not installed: apt install util-linux iproute2")
    script = f"{UP} && echo ready && exec cat"  # until its input is closed
    holder = subprocess.Popen(
        ["unshare", "--user", "--map-root-user", "--net", "sh", "-c", script],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert holder.stdout
    assert holder.stdin
    said = holder.stdout.readline()
    try:
        if said != "ready\n":
            pytest.skip(f"a network namespace of its own is not permitted here: {said.strip()}")
        yield ["nsenter", f"--target={holder.pid}", "--user", "--net", "--preserve-credentials", "--"]
    finally:
        holder.stdin.close()
        holder.wait(10)
        holder.stdout.close()


@pytest.fixture(scope="module")
def door(inside: list[str], tmp_path_factory: pytest.TempPathFactory, chromium: str) -> Iterator[Served]:
    started = Served(tmp_path_factory.mktemp("lan"), "--lan", inside=inside)
    yield started
    started.stop()


@pytest.fixture(scope="module")
def tablet(inside: list[str], door: Served, playwright: Playwright, chromium: str) -> Iterator[Browser]:
    """Chromium in the namespace, with a camera, which trusts the service's authority and no other certificate."""
    authority = x509.load_pem_x509_certificate((door.home / "service" / "authority.pem").read_bytes())
    public = authority.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    wrapper = door.home / "chromium"
    wrapper.write_text(f'#!/bin/sh\nexec {" ".join(inside)} {chromium} "$@"\n')
    wrapper.chmod(0o755)
    with playwright.chromium.launch(
        executable_path=wrapper,
        args=[
            "--no-sandbox",  # the namespace has root alone
            "--disable-gpu",
            "--use-fake-ui-for-media-stream",
            "--use-fake-device-for-media-stream",
            f"--ignore-certificate-errors-spki-list={b64encode(sha256(public).digest()).decode()}",
        ],
    ) as browser:
        yield browser


def typed(door: Served, *words: str) -> str:
    environment = {**os.environ, "FIRSTSIGHT_HOME": str(door.home)}
    command = [sys.executable, "-m", "firstsight", *words]
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout


def arrived(page: Page, name: str) -> None:
    page.wait_for_selector(f"html[data-ready] body[data-page={name}]")


def test_the_address_is_that_of_the_network(door: Served) -> None:
    said = "\n".join(door.printed)
    assert f"Open https://{ADDRESS}:{door.port}" in said
    assert "127.0.0.1" not in said


def test_a_tablet_is_paired_by_a_code_has_a_camera_and_is_out_when_it_is_revoked(
    door: Served,
    tablet: Browser,
    open_page: Callable[..., Page],
    accessible: Callable[[Page], None],
    screenshot: Callable[[Page, str], None],
) -> None:
    invited = json.loads(typed(door, "serve", "pair", "--json"))
    assert invited["address"].startswith(f"https://{ADDRESS}:{door.port}/pair.html#")
    page = open_page(invited["address"], inside=tablet)
    assert page.get_by_label("One-time code").input_value() == invited["code"]
    assert "#" not in page.url
    accessible(page)
    screenshot(page, "pair")
    page.get_by_role("button", name="Pair").click()
    arrived(page, "checkin")
    assert page.evaluate("[isSecureContext, typeof navigator.mediaDevices]") == [True, "object"]
    assert page.evaluate("navigator.mediaDevices.getUserMedia({ video: true }).then((it) => it.active)")
    assert page.locator("nav a").all_inner_texts() == ["Check in"]
    (key,) = [
        each
        for each in map(json.loads, typed(door, "serve", "keys", "list", "--json").splitlines())
        if each["role"] == "kiosk"
    ]
    assert key["name"] == "tablet 1"
    typed(door, "serve", "keys", "revoke", key["id"])
    assert page.evaluate("fetch('/v1/session').then((it) => it.json())")["role"] is None


def test_a_code_is_good_once(door: Served, tablet: Browser, open_page: Callable[..., Page]) -> None:
    code = json.loads(typed(door, "serve", "pair", "--json"))["code"]
    for opens in (True, False):
        page = open_page(f"https://{ADDRESS}:{door.port}/pair.html", inside=tablet)
        page.get_by_label("One-time code").fill(code.lower())
        page.get_by_role("button", name="Pair").click()
        if opens:
            arrived(page, "checkin")
        else:
            page.get_by_role("alert").get_by_text("This code is not good.").wait_for()


def test_an_admin_shows_a_code_as_a_picture(door: Served, tablet: Browser, open_page: Callable[..., Page]) -> None:
    (said,) = (line for line in door.printed if "admin key" in line)
    page = open_page(f"https://{ADDRESS}:{door.port}/sign-in.html?next=/people.html", inside=tablet)
    page.get_by_label("Key").fill(said.rsplit(" ", 1)[1])
    page.get_by_role("button", name="Sign in").click()
    arrived(page, "people")
    page.get_by_role("link", name="Pair a tablet").click()
    arrived(page, "pair")
    page.get_by_role("button", name="New code").click()
    page.locator("#invitation img").wait_for()
    assert page.locator("#invitation img").evaluate("(it) => it.decode().then(() => it.naturalWidth)") > 100


def test_anyone_reads_what_is_kept(
    door: Served, tablet: Browser, open_page: Callable[..., Page], screenshot: Callable[[Page, str], None]
) -> None:
    page = open_page(f"https://{ADDRESS}:{door.port}/privacy.html", inside=tablet)
    page.get_by_text("Decisions are erased after 90 days.").wait_for()
    page.get_by_text("No picture of a decision is kept.").wait_for()
    screenshot(page, "privacy")
    page.get_by_role("button", name="中文").click()
    page.get_by_text("判定结果在 90 天后删除。").wait_for()


def test_a_browser_that_was_told_nothing_warns_and_http_is_not_answered(
    door: Served, inside: list[str], tablet: Browser, playwright: Playwright
) -> None:
    page = tablet.new_context().new_page()
    with pytest.raises(Exception, match="ERR_EMPTY_RESPONSE"):
        page.goto(f"http://{ADDRESS}:{door.port}/")
    with (
        playwright.chromium.launch(
            executable_path=door.home / "chromium", args=["--no-sandbox", "--disable-gpu"]
        ) as other,
        pytest.raises(Exception, match="ERR_CERT_AUTHORITY_INVALID"),
    ):
        other.new_context().new_page().goto(f"https://{ADDRESS}:{door.port}/")
