"""The page of the APK in Chromium, straight from the APK's files. Chromium is not Android's WebView.

Here the test answers in place of Assets.java, which test_webview_code.py runs.
"""

import base64
import zipfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from urllib.parse import urlparse

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, Route, expect
from tests.apps.web.app import TIMEOUT, App, premultiplied, psnr

from fewstep.pipeline import Pipeline
from fewstep_apps.android.package import AndroidPackage

ORIGIN = "https://appassets.androidplatform.net/"  # of webview/java/fewstep/web/Assets.java
TYPES = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".css": "text/css",
    ".json": "application/json",
}
HOST = "window.Host = {save: (name, data) => { window.saved = [name, data]; return ''; }, share: () => 'no app shares pictures'};"


@pytest.fixture
def page(browser: Browser, android_package: AndroidPackage) -> Iterator[Page]:
    """A page whose every request is answered out of the APK, as Assets.java does it, with a stand-in for Host.java."""
    archive = zipfile.ZipFile(str(android_package.apk))

    def answer(route: Route) -> None:
        url = urlparse(route.request.url)
        name = f"assets/site{url.path if url.path != '/' else '/index.html'}"
        if url.hostname != urlparse(ORIGIN).hostname or name not in archive.namelist():
            missing.append(route.request.url)
            return route.fulfill(status=404)
        headers = {
            "Cross-Origin-Opener-Policy": "same-origin",
            "Cross-Origin-Embedder-Policy": "require-corp",
        }
        kind = TYPES.get(Path(name).suffix, "application/octet-stream")
        route.fulfill(body=archive.read(name), content_type=kind, headers=headers)

    missing: list[str] = []
    context = browser.new_context(service_workers="block", viewport={"width": 360, "height": 780})
    context.add_init_script(HOST)
    context.route("**/*", answer)
    page = context.new_page()
    yield page
    assert missing == []
    context.close()
    archive.close()


def test_the_page_draws_the_picture_of_python(page: Page, app_bundle: Path) -> None:
    page.goto(f"{ORIGIN}index.html?files=here&backend=wasm&threads=1")
    app = App(page).ready()
    assert page.title() == "Tiny's <stickers>"
    app.start("a red heart", 7)
    page.click("#download")
    page.wait_for_function("window.saved")
    name, data = page.evaluate("window.saved")
    assert name == "a-red-heart-7.png"
    found = premultiplied(Image.open(BytesIO(base64.b64decode(data))))
    assert psnr(found, premultiplied(Pipeline(app_bundle, "int8").generate("a red heart", 7))) >= 35
    page.click("#share")
    expect(page.locator("#status")).to_have_text("no app shares pictures", timeout=TIMEOUT)
    assert page.evaluate("caches.keys()") == [], "files of the APK need not be kept once more"
