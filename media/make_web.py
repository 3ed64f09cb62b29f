"""Makes the picture of the page in docs/web.md, web.webp. Needs chromium, and `dp2 serve` running on port 8000."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

HERE = Path(__file__).resolve().parent
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
WIDTH, HEIGHT, PHONE = 1280, 830, 360


def main() -> None:
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        page.goto("http://127.0.0.1:8000/")
        page.wait_for_selector("body[data-ready=yes]")
        page.set_input_files("#upload", HERE / "group.jpg")
        for place in (0, 3):
            page.locator(".face").nth(place).click()
        wide = page.screenshot()
        page.click("#run")
        page.wait_for_selector("#download:visible")
        page.wait_for_timeout(500)
        page.set_viewport_size({"width": PHONE, "height": HEIGHT})
        page.evaluate("scrollTo(0, 0)")
        page.wait_for_timeout(500)
        phone = page.screenshot()
        browser.close()
    sheet = Image.new("RGB", (WIDTH + PHONE + 24, HEIGHT), "white")
    sheet.paste(Image.open(io.BytesIO(wide)), (0, 0))
    sheet.paste(Image.open(io.BytesIO(phone)), (WIDTH + 24, 0))
    sheet.save(HERE / "web.webp", quality=72, method=6)


if __name__ == "__main__":
    main()
