"""Headless Chromium, and the real frontend on a real server in both of its renderers."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from comfyui_server import Installation, NoComfyUIError, Server, make_base, working_installation

if TYPE_CHECKING:
    from comfyui_page import ComfyPage
    from playwright.sync_api import Browser, Page

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).parent
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
SUMMARY = "Browser tests"


def find_browser() -> str | None:
    """$CHROMIUM, else the first Chromium on the path."""
    named = os.environ.get("CHROMIUM")
    if named and not Path(named).is_file():
        raise FileNotFoundError(f"CHROMIUM={named} does not exist.")
    return named or next(filter(None, map(shutil.which, BROWSERS)), None)


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Chromium, or the tests are skipped and say what is missing."""
    api = pytest.importorskip("playwright.sync_api", reason="no playwright; pip install playwright")
    executable = find_browser()
    if executable is None:
        pytest.skip(f"none of {', '.join(BROWSERS)} on the path; set CHROMIUM")
    with api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=executable, args=list(FLAGS))
        yield started
        started.close()


@pytest.fixture(scope="package")
def module_page(browser: Browser) -> Iterator[Page]:
    """An empty page that can import the modules of web/ from /, without ComfyUI."""
    page = browser.new_page(viewport={"width": 500, "height": 600})
    page.route("http://magicface.test/**", serve_web)
    page.goto("http://magicface.test/")
    yield page
    page.close()


def serve_web(route) -> None:  # type: ignore[no-untyped-def]
    name = route.request.url.split("/")[-1].split("?")[0]
    if name:
        route.fulfill(path=ROOT / "web" / name, content_type="text/javascript")
    else:
        route.fulfill(body="<!doctype html><title>face</title>", content_type="text/html")


@pytest.fixture(scope="package")
def installation() -> Installation:
    """ComfyUI, or the tests are skipped and say where it was looked for."""
    try:
        return working_installation()
    except NoComfyUIError as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="package")
def server(
    browser: Browser, installation: Installation, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    base = make_base(tmp_path_factory.mktemp("frontend"), {"ComfyUI-MagicFace": ROOT})
    shutil.copy(ROOT / "magicface_core" / "assets" / "portrait.png", base / "input")
    with Server(installation, base) as running:
        yield running


@pytest.fixture(scope="package", params=["litegraph", "nodes 2.0"])
def opened(request: pytest.FixtureRequest, browser: Browser, server: Server) -> Iterator[ComfyPage]:
    """The frontend with one of its renderers."""
    from comfyui_page import ComfyPage

    context = browser.new_context(
        viewport={"width": 1400, "height": 1000}, permissions=["clipboard-read"]
    )
    comfy = ComfyPage(context.new_page(), server.address, request.param)
    comfy.open()
    yield comfy
    context.close()


@pytest.fixture
def comfy(opened: ComfyPage) -> Iterator[ComfyPage]:
    """The frontend with an empty graph; afterwards nothing may have gone wrong in the page."""
    opened.clear()
    opened.log.__init__()
    yield opened
    assert opened.log.errors == []
    assert opened.foreign_requests() == []


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """How many of these tests ran, so that a run without a browser is not taken for a full one."""
    counts = {
        outcome: sum(
            HERE in Path(ROOT / report.location[0]).parents
            for report in terminalreporter.getreports(outcome)
        )
        for outcome in ("passed", "failed", "skipped")
    }
    ran = counts["passed"] + counts["failed"]
    where = find_browser() or "no Chromium"
    terminalreporter.write_line(f"{SUMMARY}: {ran} ran, {counts['skipped']} skipped ({where})")
