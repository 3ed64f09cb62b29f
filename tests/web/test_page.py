"""The page in a real browser."""

from __future__ import annotations

import io
import re
import shutil
import zipfile
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dp2.cli.inputs import DEFAULT_CONFIG

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"),
    *("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"),
    # No name is looked up and no address but our own is reached: the page has no network.
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
]
DESKTOP = {"viewport": {"width": 1280, "height": 820}}
PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}
both_widths = pytest.mark.parametrize("page", [DESKTOP, PHONE], indirect=True, ids=["desktop", "phone"])
PATIENCE = 90_000  # milliseconds


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    if BROWSER is None:
        pytest.skip("there is no chromium; apt-get install chromium")
    playwright = pytest.importorskip("playwright.sync_api", reason="there is no playwright; pip install playwright")
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=BROWSER, headless=True, args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture
def page(request, browser, server) -> Iterator[object]:
    """A fresh visitor; whatever goes wrong in the page, or is asked of anybody else, fails the test."""
    context = browser.new_context(**getattr(request, "param", DESKTOP), accept_downloads=True)
    context.set_default_timeout(PATIENCE)
    opened = context.new_page()
    wrong: list[str] = []
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    opened.on("requestfailed", lambda failed: wrong.append(f"failed: {failed.url} {failed.failure}"))
    foreign = re.compile(rf"^(?!({re.escape(server.url)}|ws://{re.escape(server.host)}|blob:|data:))")
    opened.on("request", lambda sent: wrong.append(f"foreign: {sent.url}") if foreign.match(sent.url) else None)
    opened.goto(server.url)
    opened.wait_for_selector("body[data-ready=yes]")
    yield opened
    for held in context.request.get(f"{server.url}/api/media").json():
        context.request.delete(f"{server.url}/api/media/{held['id']}")
    context.close()
    # A picture that was replaced by the next one is no failure, nor an upload that is to be refused.
    assert [text for text in wrong if "ERR_ABORTED" not in text and "status of 415" not in text] == []


def downloaded(page) -> tuple[str, bytes]:
    with page.expect_download() as coming:
        page.click("#download")
    return coming.value.suggested_filename, Path(coming.value.path()).read_bytes()


def fits(page) -> bool:
    """Whether nothing hangs over the side of the screen."""
    return page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


def test_no_file_of_the_page_refers_to_another_host() -> None:
    names = [item for item in files("dp2.web").joinpath("page").iterdir() if item.is_file()]
    assert {item.name for item in names} >= {"index.html", "style.css", "app.js"}
    for item in names:
        if item.name.endswith(".webp"):
            assert item.read_bytes()[:4] == b"RIFF", item.name
            continue
        text = item.read_text(encoding="utf-8").replace('xmlns="http://www.w3.org/2000/svg"', "")
        assert not re.search(r"https?:|wss?://(?!\$)|[\"'(]//", text.replace('"https:"', "")), item.name
        assert not re.search(r"\son\w+=|style=|<script>|javascript:|innerHTML", text), item.name


@both_widths
def test_photo_with_one_face_kept_by_a_click(page, media: Path) -> None:
    page.set_input_files("#upload", media / "group.jpg")
    page.wait_for_selector(".face")
    assert page.locator(".face").count() == page.locator(".chip").count() == 8
    face = page.locator(".face").first
    box = face.evaluate("e => [e.style.left, e.style.top, e.style.width, e.style.height].map(parseFloat)")
    face.click()
    assert face.get_attribute("aria-pressed") == "true"
    assert page.locator(".chip[aria-pressed=true]").count() == 1
    page.click("#run")
    page.wait_for_selector("#download:visible")
    assert "8 faces found, 7 changed, 1 kept" in page.text_content("#outcome")
    assert page.locator("#compare .before").is_visible()
    assert fits(page)
    name, content = downloaded(page)
    assert name == "group_anonymized.jpg"
    before = np.asarray(Image.open(media / "group.jpg")).astype(int)
    difference = np.abs(before - np.asarray(Image.open(io.BytesIO(content)))).mean(axis=2)
    left, top, width, height = box
    x = slice(round(left * 12.8), round((left + width) * 12.8))
    y = slice(round(top * 7.2), round((top + height) * 7.2))
    assert difference[y, x].mean() < 3, "the clicked face is as it was"
    difference[y, x] = 0
    assert difference.max() > 60, "others are not"


def test_start_page_shows_what_will_happen(page) -> None:
    assert "Photos, videos, or your camera" in page.text_content("#drop")
    for picture in page.locator(".sample img").all():
        assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") == 480
    page.click("#to-camera")
    assert page.locator("#live-start").is_visible()


@both_widths
def test_anonymizers_are_tiles_in_groups_and_rare_ones_are_folded(page) -> None:
    assert page.locator("#ways input:checked").get_attribute("value") == DEFAULT_CONFIG
    assert page.locator("#live-anonymizer").input_value() == DEFAULT_CONFIG
    assert page.locator("#ways-ready h3").all_text_contents()[:2] == ["New faces", "Covered faces"]
    for picture in page.locator("#ways-ready .tile img").all():
        assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") == 240
    rare = page.locator("#ways-rare .tile")
    assert rare.count() > 0
    assert not rare.first.is_visible()
    page.click("#ways-more-title")
    assert rare.first.is_visible()
    assert page.locator("#ways-rare .absent input:enabled").count() == 0
    page.focus(f"#ways input[value={DEFAULT_CONFIG}]")
    page.keyboard.press("ArrowRight")
    chosen = page.locator("#ways input:checked").get_attribute("value")
    assert chosen != DEFAULT_CONFIG
    assert page.locator("#live-anonymizer").input_value() == chosen
    assert fits(page)


def test_words_say_what_will_happen_and_then_what_has_happened(page, media: Path) -> None:
    page.set_input_files("#upload", media / "group.jpg")
    page.locator(".face").last.click()
    assert sorted(page.locator(".chip span").all_text_contents()) == ["stays"] + ["will change"] * 7
    assert page.locator(".face").first.get_attribute("title") == "face: will change"
    page.click("#run")
    page.wait_for_selector("#download:visible")
    assert sorted(page.locator(".chip span").all_text_contents()) == ["changed"] * 7 + ["stayed"]
    assert re.search(r" · took \d+(\.\d)?\ss", page.text_content("#outcome"))
    page.click("#show-people")
    page.locator(".face").first.click()
    assert set(page.locator(".chip span").all_text_contents()) == {"stays", "will change"}


COVERED = """() => {
  const act = document.querySelector("#files .act"), under = [];
  for (const one of document.querySelectorAll("#files .cards :is(button, summary, label, select)")) {
    if (!one.checkVisibility()) continue;
    one.scrollIntoView({ block: "nearest" });
    const box = one.getBoundingClientRect();
    const hit = document.elementFromPoint(box.left + box.width / 2, box.top + box.height / 2);
    if (act.contains(hit)) under.push(one.outerHTML);
  }
  return under;
}"""


@both_widths
def test_card_with_the_button_covers_nothing(page, media: Path) -> None:
    page.set_input_files("#upload", media / "group.jpg")
    page.wait_for_selector(".face")
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert page.evaluate(COVERED) == []
    page.click("#run")
    page.wait_for_selector("#download:visible")
    assert page.evaluate(COVERED) == []


def test_all_results_are_downloaded_as_one_zip(page, media: Path) -> None:
    page.set_input_files("#upload", [media / "astronaut.jpg", media / "grace_hopper.jpg"])
    page.wait_for_selector("#run:has-text('2 files')")
    page.wait_for_selector(".face")
    page.click("#run")
    page.wait_for_selector("#download-all:visible")
    with page.expect_download() as coming:
        page.click("#download-all")
    with zipfile.ZipFile(coming.value.path()) as archive:
        assert archive.testzip() is None
        assert sorted(archive.namelist()) == ["astronaut_anonymized.jpg", "grace_hopper_anonymized.jpg"]
        for name in archive.namelist():
            assert Image.open(io.BytesIO(archive.read(name))).size[0] > 500


def test_choosing_again_makes_another_result(page, media: Path) -> None:
    page.set_input_files("#upload", media / "astronaut.jpg")
    page.wait_for_selector(".face")
    page.click("#run")
    page.wait_for_selector("#download:visible")
    assert "1 changed" in page.text_content("#outcome")
    page.click("#keep-all")
    assert not page.locator("#download").is_visible()
    page.click("#run")
    page.wait_for_selector("#download:visible")
    assert "1 kept" in page.text_content("#outcome")


def test_edge_between_before_and_after_can_be_dragged(page, media: Path) -> None:
    page.set_input_files("#upload", media / "astronaut.jpg")
    page.wait_for_selector(".face")
    page.click("#run")
    page.wait_for_selector("#compare .edge:visible")
    page.locator("#compare").scroll_into_view_if_needed()
    area = page.locator("#compare").bounding_box()
    page.mouse.move(area["x"] + area["width"] / 2, area["y"] + 60)
    page.mouse.down()
    page.mouse.move(area["x"] + area["width"] * 0.2, area["y"] + 60, steps=4)
    page.mouse.up()
    cut = float(page.locator("#compare").evaluate("e => parseFloat(e.style.getPropertyValue('--cut'))"))
    assert 15 < cut < 25
    page.focus("#compare input")
    page.keyboard.press("Home")
    assert page.locator("#compare").evaluate("e => e.style.getPropertyValue('--cut')") == "0%"


@both_widths
def test_clip_with_one_person_kept_compared_and_downloaded(page, media: Path, clips) -> None:
    group = np.asarray(Image.open(media / "group.jpg").resize((640, 360)))
    page.set_input_files("#upload", clips.make("clip.mp4", frames=20, size=(640, 360), pixels=group))
    page.click("#detect")
    page.wait_for_selector(".face")
    page.locator(".face").last.click()
    page.click("#run")
    page.wait_for_selector("#download:visible")
    assert re.search(r"\d+ changed.* \d+ kept", page.text_content("#outcome"))
    page.click("#compare .play")
    page.wait_for_selector("#compare .play.on")
    page.locator("#compare video.after").evaluate(
        "video => new Promise(done => { video.ontimeupdate = () => video.currentTime > 0.3 && done(); })"
    )
    page.click("#compare .play")
    assert fits(page)
    name, content = downloaded(page)
    assert name == "clip_anonymized.mp4"
    assert content[4:8] == b"ftyp"


def test_running_job_can_be_cancelled_from_the_page(page, media: Path) -> None:
    page.set_input_files("#upload", media / "pan.mp4")
    page.wait_for_selector("#detect:visible")
    page.click("#run")
    page.wait_for_selector("#progress:visible")
    page.click("#cancel")
    page.wait_for_selector("#progress", state="hidden")
    assert not page.locator("#download").is_visible()
    assert page.locator("#run").is_enabled()


def test_file_that_is_no_picture_is_refused_with_words(page, tmp_path: Path) -> None:
    (tmp_path / "letter.jpg").write_text("Dear Anna, " * 900, encoding="utf-8")
    with page.expect_response("**/api/media?*") as coming:
        page.set_input_files("#upload", tmp_path / "letter.jpg")
    assert coming.value.status == 415
    page.wait_for_selector("#problem:visible")
    assert "letter.jpg: neither a photo nor a video" in page.text_content("#problem")


def test_page_can_be_used_by_keyboard(page, media: Path) -> None:
    page.on("filechooser", lambda chooser: chooser.set_files(media / "grace_hopper.jpg"))
    page.set_input_files("#upload", media / "astronaut.jpg")
    page.wait_for_selector(".face")
    page.focus(".face")
    page.keyboard.press("Space")
    assert page.text_content("#who-count") == "1 of 1"
    assert page.evaluate("document.activeElement.className") == "face"
    page.focus("#strip .more")
    page.keyboard.press("Enter")
    page.wait_for_selector("#view-name:has-text('grace_hopper')")
    page.wait_for_selector(".face")
    page.locator("#strip button").first.focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("#view-name:has-text('astronaut')")
    assert page.evaluate("document.activeElement === document.querySelector('#strip').firstChild")
    page.focus("#tab-files")
    page.keyboard.press("ArrowRight")
    assert page.locator("#camera").is_visible()
    assert page.evaluate("document.activeElement.id") == "tab-camera"


@both_widths
def test_everything_has_a_name_and_can_be_read(page, media: Path) -> None:
    """Names for screen readers, and contrast as WCAG 2.2 asks for (1.4.3: 4.5 to 1)."""
    page.set_input_files("#upload", media / "astronaut.jpg")
    page.wait_for_selector(".face")
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    for tab in ("#tab-files", "#tab-camera"):
        page.click(tab)
        unnamed = page.evaluate(
            """() => [...document.querySelectorAll('button, select, input, img, canvas, a')]
            .filter(e => e.checkVisibility() && !e.closest('[aria-hidden=true]'))
            .filter(e => !(e.getAttribute('aria-label') || e.textContent.trim() || e.getAttribute('alt') !== null
                || e.title || e.labels?.length || e.querySelector('img[alt]')))
            .filter(e => !e.closest('.chip')).map(e => e.outerHTML)"""
        )
        assert unnamed == []
        assert page.evaluate(FAINT) == []


FAINT = """() => {
  const parse = (text) => (text.match(/[\\d.]+/g) ?? []).map(Number);
  const alpha = (colour) => colour[3] ?? 1;
  const linear = (v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => 0.2126 * linear(r / 255) + 0.7152 * linear(g / 255) + 0.0722 * linear(b / 255);
  const ground = (e) => parse(getComputedStyle(e).backgroundColor);
  const behind = (e) => {
    while (e.parentElement && alpha(ground(e)) < 1) e = e.parentElement;
    return ground(e);
  };
  const faint = [];
  for (const e of document.querySelectorAll("main *, header *")) {
    const style = getComputedStyle(e), own = alpha(ground(e));
    const words = [...e.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    const onPicture = own > 0 && own < 1;
    const unseen = !e.checkVisibility() || style.fontSize === "0px";
    if (!words || onPicture || unseen || e.closest(":disabled, option")) continue;
    const [more, less] = [light(parse(style.color)), light(behind(e))].sort((x, y) => y - x);
    const ratio = (more + 0.05) / (less + 0.05);
    if (ratio < 4.5) faint.push(`${e.tagName} ${e.textContent.trim()} ${ratio.toFixed(2)}`);
  }
  return faint;
}"""


def test_names_of_files_are_text(page) -> None:
    name = "<img src=x onerror=document.title=1><b>&amp;.jpg"
    buffer = io.BytesIO()
    Image.new("RGB", (60, 40)).save(buffer, "JPEG")
    page.set_input_files("#upload", {"name": name, "mimeType": "image/jpeg", "buffer": buffer.getvalue()})
    page.wait_for_selector("#who-hint:has-text('Nobody was found')")
    assert page.text_content("#view-name").startswith(name)
    assert page.locator("#strip img").get_attribute("alt") == name
    page.click("#run")
    page.wait_for_selector("#download:visible")
    assert page.locator("main b, main img[src=x]").count() == 0
    assert page.title() != "1"


def test_files_and_results_are_still_there_after_a_reload(page, media: Path) -> None:
    page.set_input_files("#upload", media / "astronaut.jpg")
    page.locator(".face").click()
    page.click("#run")
    page.wait_for_selector("#download:visible")
    page.reload()
    page.wait_for_selector("#download:visible")
    assert page.text_content("#who-count") == "1 of 1"
    assert page.locator("#strip img").count() == 1
    page.click("#remove")
    page.wait_for_selector("#drop:visible")


@both_widths
def test_camera_shows_anonymized_pictures(page) -> None:
    page.click("#tab-camera")
    page.click("#live-start")
    page.wait_for_selector("#live-words:has-text('pictures/s')")
    green = page.locator("#live-picture").evaluate(
        "c => c.getContext('2d').getImageData(c.width / 2, 99, 1, 1).data[1]"
    )
    assert green > 60, "the browser's false camera is green"
    page.click("#live-start")
    page.wait_for_selector("#live-start:has-text('Start camera')")
    assert page.locator("#live-problem").is_hidden()
