"""A real browser that reads MLflow's pages: an installed chromium, driven by Playwright, that calls nobody else."""

import json
import shutil
from contextlib import contextmanager

try:
    from playwright.sync_api import expect, sync_playwright
except ImportError:
    expect = sync_playwright = None

SECONDS = 30
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
_SWITCHES = [
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]
_HABITS = {
    "mlflow.assistant.fab.autoOpenedOnFirstLoad_v1": "true",
    "mlflow.assistant.panelOpen_v1": "false",
    "mlflow.workflowType_v1": '"machine_learning"',
}
"""What MLflow keeps in the browser of a reader who has closed its assistant and chosen `Model training`."""


def what_is_missing():
    """Return in words what these tests lack; an empty text where they can run."""
    if sync_playwright is None:
        return "needs Playwright: pip install -e '.[dev]'"
    return "" if CHROMIUM else "needs a browser: apt-get install chromium"


@contextmanager
def running_browser():
    """Start chromium without a window; give Playwright's browser, whose expectations wait up to `SECONDS`."""
    expect.set_options(timeout=SECONDS * 1000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=_SWITCHES, chromium_sandbox=False)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def reading(browser, address):
    """Give a page of a reader of the server at `address`, in a profile of its own, with English texts and times."""
    context = browser.new_context(base_url=address, locale="en-US", timezone_id="UTC")
    context.set_default_timeout(SECONDS * 1000)
    context.add_init_script(
        f"for (const habit of Object.entries({json.dumps(_HABITS)})) localStorage.setItem(...habit)"
    )
    try:
        yield context.new_page()
    finally:
        context.close()


def keep_picture(page, path):
    """Write what the window shows as a PNG, with nothing marked as pointed at."""
    page.mouse.move(0, 0)
    page.screenshot(path=path, animations="disabled")
