"""A browser for the tests of the pages."""

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, ViewportSize

from support.browser import Window, chromium


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Provide Chromium for the tests of a file: while it runs, `asyncio.run` cannot."""
    with chromium() as browser:
        yield browser


@pytest.fixture
def open_window(browser: Browser) -> Iterator[Callable[..., Window]]:
    """Open windows of a width and height in pixels, in a colour scheme: `light` or `dark`; or without scripts."""
    contexts = []

    def open_one(width: int = 1280, height: int = 900, scheme: str = "light", *, scripts: bool = True) -> Window:
        size = ViewportSize(width=width, height=height)
        context = browser.new_context(viewport=size, color_scheme=scheme, java_script_enabled=scripts)  # type: ignore[arg-type]
        contexts.append(context)
        return Window(context)

    yield open_one
    for context in contexts:
        context.close()


@pytest.fixture
def window(open_window: Callable[..., Window]) -> Window:
    """Provide a window of a laptop."""
    return open_window()
