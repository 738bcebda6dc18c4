"""A real Chromium before a real service."""

import io
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from drawings import SHAPES, drawing, png
from PIL import Image
from playwright.sync_api import Browser, ConsoleMessage, Page, Playwright, sync_playwright
from served import Served

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CUT_SHORT = "Transition was"  # aborted, skipped: a fade between pages, where the next one came too soon
AT_REST = "Promise.allSettled(document.getAnimations().map((each) => each.finished))"
SCREENSHOTS = os.environ.get("FIRSTSIGHT_SCREENSHOTS")
"""A folder, where the pictures of docs/pages.md are wanted: `make screenshots`."""


@pytest.fixture(scope="session")
def chromium() -> str:
    """Where Chromium is; the test is skipped where there is none."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip("Chromium is not installed: apt install chromium")
    return found


@pytest.fixture(scope="package")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as started:
        yield started


@pytest.fixture(scope="package")
def browser(playwright: Playwright, chromium: str) -> Iterator[Browser]:
    """One without a camera."""
    with _launched(playwright, chromium) as browser:
        yield browser


@pytest.fixture
def browser_with_camera(playwright: Playwright, chromium: str) -> Iterator[Callable[[Path], Browser]]:
    """Start a browser whose camera shows a film."""
    started: list[Browser] = []

    def start(film: Path) -> Browser:
        camera = ("--use-fake-device-for-media-stream", f"--use-file-for-fake-video-capture={film}")
        started.append(_launched(playwright, chromium, "--use-fake-ui-for-media-stream", *camera))
        return started[-1]

    yield start
    for browser in started:
        browser.close()


def _launched(playwright: Playwright, chromium: str, *arguments: str) -> Browser:
    sandbox = [] if os.geteuid() else ["--no-sandbox"]  # root has none
    return playwright.chromium.launch(executable_path=chromium, args=[*sandbox, "--disable-gpu", *arguments])


@pytest.fixture(scope="package")
def service(tmp_path_factory: pytest.TempPathFactory, chromium: str) -> Iterator[Served]:
    """On loopback, without keys, with the model glyphs; a person once in 5 minutes."""
    started = Served(tmp_path_factory.mktemp("service"), "--debounce", "5")
    yield started
    started.stop()


@pytest.fixture
def empty(service: Served) -> Served:
    """The service, with nobody enrolled."""
    service.forget_all()
    return service


@pytest.fixture
def known(empty: Served) -> Served:
    """The service, which knows three symbols."""
    for name in ("star", "moon", "house"):
        empty.enroll(name, png(drawing(SHAPES[name])))
    return empty


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Open a page in a context of its own, and wait until it can be used. What the page complains of fails the test."""
    contexts, complaints = [], []

    def open_page(address: str, *, inside: Browser | None = None, may_complain: bool = False, **options: Any) -> Page:
        options = {"viewport": {"width": 1024, "height": 768}, "locale": "en-US", "timezone_id": "UTC", **options}
        contexts.append((inside or browser).new_context(**options))
        contexts[-1].set_default_timeout(15_000)
        page = contexts[-1].new_page()
        if not may_complain:
            page.on("pageerror", lambda error: None if CUT_SHORT in str(error) else complaints.append(str(error)))
            page.on("console", lambda said: complaints.append(said.text) if _is_complaint(said) else None)
        page.goto(address)
        page.wait_for_selector("html[data-ready]")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not complaints


def _is_complaint(said: ConsoleMessage) -> bool:
    """An answer with an error status is not: tests ask for some."""
    return said.type == "error" and "Failed to load resource" not in said.text


@pytest.fixture
def screenshot() -> Callable[[Page, str], None]:
    """Take the picture of a page for the documentation, where they are wanted."""

    def take(page: Page, name: str) -> None:
        if SCREENSHOTS:
            page.evaluate(AT_REST)
            with Image.open(io.BytesIO(page.screenshot())) as taken:
                taken.convert("RGB").quantize(200).save(Path(SCREENSHOTS) / f"{name}.png", optimize=True)

    return take


@pytest.fixture
def accessible() -> Callable[[Page], None]:
    """axe-core finds nothing serious in a page as it stands."""

    def check(page: Page) -> None:
        page.evaluate(AT_REST)
        found = Axe().run(page).response["violations"]
        serious = [
            (each["id"], each["help"], [node["html"] for node in each["nodes"]])
            for each in found
            if each["impact"] in ("serious", "critical")
        ]
        assert not serious, json.dumps(serious, indent=2)

    return check
