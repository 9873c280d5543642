"""The packaged app in Chromium, end to end: the pictures of Python's runtime, offline, and on bad networks."""

import json
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect
from tests.apps.web.app import TIMEOUT, App, open_app, premultiplied, psnr
from tests.apps.web.server import Server

from fewstep.pipeline import Pipeline

PROMPT, SEED = "a red heart", 7
AXE = Path(__file__).parents[3] / "apps" / "web" / "node_modules" / "axe-core" / "axe.min.js"


def parts(package: Path, component: str) -> list[str]:
    """The paths of a graph's parts."""
    files = json.loads((package / "app.json").read_text())["files"]
    return [part["path"] for part in files[f"ort/fp32/{component}.onnx"]["parts"]]


@pytest.fixture
def app(browser: Browser, server: Server) -> App:
    """The app with one thread, ready, in a browser that never saw it."""
    return open_app(browser.new_page(), server.url).ready()


@pytest.mark.parametrize(
    ("query", "variant", "engine", "least"),
    [
        ("backend=wasm&threads=1", "fp32", "WebAssembly, 1 thread", 50),
        ("backend=wasm&threads=2", "fp32", "WebAssembly, 2 threads", 50),
        ("backend=wasm&threads=1&variant=int8", "int8", "WebAssembly, 1 thread", 35),
        # SwiftShader, Chromium's WebGPU without a GPU, takes half a minute for it.
        pytest.param("backend=webgpu&threads=1", "fp32", "WebGPU", 50, marks=pytest.mark.slow),
    ],
    ids=["fp32 on one thread", "fp32 on two threads", "int8", "fp32 on WebGPU"],
)
def test_the_picture_is_that_of_python(
    browser: Browser, server: Server, app_bundle: Path, query: str, variant: str, engine: str, least: float
) -> None:
    app = open_app(browser.new_page(), server.url, query).ready()
    found = app.draw(PROMPT, SEED)
    assert app.engine == engine
    expected = premultiplied(Pipeline(app_bundle, variant).generate(PROMPT, SEED))
    assert psnr(found, expected) >= least
    assert psnr(found, premultiplied(Pipeline(app_bundle, variant).generate(PROMPT, SEED + 1))) < 35
    app.page.close()


def test_the_page_gets_threads_from_a_server_that_sends_no_headers_for_them(app: App) -> None:
    assert app.page.evaluate("crossOriginIsolated") is True


def test_it_draws_offline_after_the_first_visit(browser: Browser, server: Server) -> None:
    context = browser.new_context()
    first = open_app(context.new_page(), server.url).ready().draw(PROMPT, SEED)
    server.kill()
    page = context.new_page()
    assert psnr(open_app(page, server.url).ready().draw(PROMPT, SEED), first) > 100
    page.goto(f"{server.url}licences.html")
    assert "the fewstep tests" in page.inner_text("body")
    context.close()


def test_a_damaged_model_file_is_loaded_again(browser: Browser, server: Server, package: Path) -> None:
    (path,) = parts(package, "denoiser")
    server.corrupted[path] = 1
    app = open_app(browser.new_page(), server.url).ready()
    assert server.asked[path] == 2
    assert app.draw(PROMPT, SEED).shape == (32, 32, 4)


def test_a_server_with_another_model_is_refused(browser: Browser, package: Path, server: Server) -> None:
    (path,) = parts(package, "denoiser")
    (other,) = parts(package, "decoder")
    server.replaced[path] = other
    page = browser.new_page()
    app = open_app(page, server.url)
    expect(page.locator("#status")).to_contain_text("was loaded twice and refused", timeout=TIMEOUT)
    assert "ort/fp32/denoiser.onnx is not the file" in app.status
    assert page.locator("#go").is_disabled()


def test_a_broken_network_is_tried_again_for_what_is_missing(
    browser: Browser, server: Server, package: Path
) -> None:
    (path,) = parts(package, "denoiser")
    server.broken[path] = 2
    open_app(browser.new_page(), server.url).ready()
    assert server.asked[path] == 3
    assert all(server.asked[other] == 1 for other in parts(package, "text_encoder"))


def test_a_slow_network_that_ends_is_resumed_at_the_next_visit(
    browser: Browser, server: Server, package: Path
) -> None:
    (broken,), (kept,) = parts(package, "denoiser"), parts(package, "text_encoder")
    context = browser.new_context()
    page = context.new_page()
    server.rate = 2_000_000
    server.broken[broken] = 1_000
    open_app(page, server.url)
    expect(page.locator("#status")).to_contain_text("Loading the model", timeout=TIMEOUT)
    while not (server.asked[broken] and server.asked[kept]):
        page.wait_for_timeout(50)
    page.close()
    server.rate, server.broken[broken] = None, 0
    app = open_app(context.new_page(), server.url).ready()
    assert app.draw(PROMPT, SEED).shape == (32, 32, 4)
    assert server.asked[kept] == 1, "what had arrived was loaded again"
    context.close()


def test_a_drawing_can_be_stopped_and_a_too_long_prompt_is_told(app: App) -> None:
    app.page.fill("#prompt", "red " * 20)
    app.page.click("#go")
    expect(app.page.locator("#status")).to_contain_text("at most 8 fit. Shorten it.", timeout=TIMEOUT)
    app.page.fill("#prompt", PROMPT)
    app.page.evaluate("document.getElementById('go').click(), document.getElementById('go').click()")
    expect(app.page.locator("#status")).to_contain_text("stopped", timeout=TIMEOUT)
    assert app.draw(PROMPT, SEED).shape == (32, 32, 4)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_small_phone_and_everybody_can_use_it(
    browser: Browser, server: Server, scheme: str
) -> None:
    page = browser.new_page(viewport={"width": 360, "height": 640}, color_scheme=scheme)  # type: ignore[arg-type]
    app = open_app(page, server.url).ready()
    app.draw(PROMPT, SEED)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert barriers(page) == []
    page.goto(f"{server.url}licences.html")
    assert barriers(page) == []
    page.evaluate("document.querySelector('html').lang = ''")
    assert barriers(page) == ["html-has-lang"]
    page.close()


def barriers(page: Page) -> list[str]:
    """What axe-core finds on the page as it is: names, contrast, landmarks and more."""
    page.add_script_tag(path=AXE)
    found: list[str] = page.evaluate("axe.run().then(result => result.violations.map(v => v.id))")
    return found


@pytest.mark.slow  # SwiftShader takes half a minute for the probe
def test_webgpu_is_tried_at_the_first_visit_alone(browser: Browser, server: Server) -> None:
    context = browser.new_context()
    told = []
    for _ in range(2):
        page = open_app(context.new_page(), server.url, "threads=1").page
        expect(page.locator("#go")).to_be_enabled(timeout=8 * TIMEOUT)
        told.append(page.locator("#engine").get_attribute("title"))
        page.close()
    first, second = told
    assert first and "fp32 on WebAssembly" in first and "fp32 on WebGPU" in first
    assert second == f"{first} (at an earlier visit)"
    context.close()
