"""Debian's Chromium, driven by Playwright; what it complains of, and what axe-core finds."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from support.web import program

WCAG = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa")
"""axe-core's tags of the rules that make up WCAG 2.2 AA."""


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start the browser, and end it afterwards."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program("chromium", "chromium"),
            args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
        )
        yield browser
        browser.close()


class Window:
    """A window whose complaints are kept.

    Attributes:
        page: Playwright's page.
        complaints: errors and warnings of the console, among them what the Content-Security-Policy refused, and
            exceptions of scripts.
    """

    def __init__(self, context: BrowserContext) -> None:
        self.page: Page = context.new_page()
        self.complaints: list[str] = []
        self.page.on(
            "console",
            lambda message: self.complaints.append(message.text) if message.type in ("error", "warning") else None,
        )
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def picture(self, name: str) -> None:
        """Keep a picture of the window for the documentation, if QUALITRACE_SCREENSHOTS names a folder for them."""
        if folder := os.environ.get("QUALITRACE_SCREENSHOTS"):
            self.page.screenshot(path=Path(folder) / f"{name}.png")

    def accessibility_violations(self) -> list[str]:
        """Return what axe-core finds against WCAG 2.2 AA, a line an element."""
        found = Axe().run(self.page, options={"runOnly": {"type": "tag", "values": [*WCAG]}})
        return [
            f"{violation['id']}: {node['target']}: {node['failureSummary']}"
            for violation in found.response["violations"]
            for node in violation["nodes"]
        ]
