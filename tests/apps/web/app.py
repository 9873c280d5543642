"""The web app as a person uses it."""

import math
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from playwright.sync_api import Page, expect

TIMEOUT = 90_000  # milliseconds; on a busy machine Chromium alone takes seconds to start


@dataclass
class App:
    """An opened page."""

    page: Page

    def ready(self) -> "App":
        """Waits until it can draw."""
        expect(self.page.locator("#go")).to_be_enabled(timeout=TIMEOUT)
        return self

    @property
    def engine(self) -> str:
        return self.page.locator("#engine").inner_text()

    @property
    def status(self) -> str:
        return self.page.locator("#status").inner_text()

    def start(self, prompt: str, seed: int) -> None:
        """Draws, and waits until it is done."""
        self.page.fill("#prompt", prompt)
        self.page.fill("#seed", str(seed))
        self.page.click("#go")
        expect(self.page.locator("#go")).to_have_text("Draw", timeout=TIMEOUT)
        expect(self.page.locator("#status")).to_contain_text(" s, ", timeout=TIMEOUT)
        expect(self.page.locator("#download")).to_be_enabled()

    def draw(self, prompt: str, seed: int) -> npt.NDArray[np.float64]:
        """The picture as the person downloads it, premultiplied, (H, W, 4) in [0, 1]."""
        self.start(prompt, seed)
        with self.page.expect_download() as download:
            self.page.click("#download")
        return premultiplied(Image.open(BytesIO(Path(download.value.path()).read_bytes())))


def open_app(page: Page, url: str, query: str = "backend=wasm&threads=1") -> App:
    """The app at an address, with options."""
    page.goto(f"{url}?{query}")
    return App(page)


def premultiplied(image: Image.Image) -> npt.NDArray[np.float64]:
    """What is seen of a picture: a browser keeps no colour where it is clear, and rounds it where it nearly is."""
    rgba = np.asarray(image.convert("RGBA"), dtype=np.float64) / 255
    rgba[..., :3] *= rgba[..., 3:]
    return rgba


def psnr(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> float:
    """In dB, of values in [0, 1]."""
    return -10 * math.log10(max(float(np.mean((a - b) ** 2)), 1e-12))
