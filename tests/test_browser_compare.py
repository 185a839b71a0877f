"""The Compare tab in a real browser: side by side, and the test set's disagreements."""

import json
import re
import subprocess
import sys
from zipfile import ZipFile

import pytest
from browser import (
    VERSIONS,
    close,
    needs_browser,
    open_page,
    screenshot,
    upload,
)
from playwright.sync_api import Locator, Page, expect

from maskexplain.data.samples import example_pictures
from tools.served import ROOT, served

pytestmark = needs_browser


def open_compare(page: Page) -> None:
    tab = page.get_by_role("tab", name="Compare")
    expect(tab).to_be_visible()
    tab.click()
    expect(page.locator("#compare-photo")).to_be_visible()


def expect_compared(page: Page) -> None:
    """A column a version, every heatmap there and loaded."""
    table = page.get_by_role("table", name="The versions side by side")
    expect(table).to_be_visible()
    expect(page.locator(".compare .waiting")).to_have_count(0)
    assert table.get_by_role("columnheader").all_inner_texts()[1:] == list(VERSIONS)
    maps = row(page, "Where it looked").locator("img")
    assert maps.count() == len(VERSIONS)
    assert all(m.evaluate("i => i.complete && i.naturalWidth > 0") for m in maps.all())


def row(page: Page, title: str) -> Locator:
    header = page.locator("[role=rowheader]").filter(has_text=re.compile(f"^{re.escape(title)}"))
    return page.locator(".compare [role=row]").filter(has=header)


def given(page: Page) -> Locator:
    return page.locator("#compare-said .given")


def overflow(page: Page) -> int:
    """Pixels by which the page is wider than its window."""
    return page.evaluate("document.documentElement.scrollWidth - window.innerWidth")


@pytest.mark.parametrize(
    "name, width, dark",
    [("compare", 1400, False), ("compare-dark", 1400, True), ("compare-phone", 390, False)],
)
def test_the_tab_starts_with_an_example_on_which_the_versions_disagree(
    browser, url, name, width, dark
):
    page = open_page(browser, url, width, dark)
    open_compare(page)
    expect_compared(page)
    expect(given(page)).to_contain_text("An example to start with")
    said = page.locator("#compare-said")
    expect(said).to_contain_text("v2 says “Worn incorrectly”, v3 says “Worn correctly”")
    expect(said).to_contain_text("With the light turned up, v2 says “Worn correctly”; v3 stays")
    tops = [cell.bounding_box()["y"] for cell in row(page, "How sure").get_by_role("cell").all()]
    assert len(set(tops)) == 1, "the eye can go along a row"
    expect(said.locator(".headline")).to_be_in_viewport()
    assert overflow(page) <= 0
    screenshot(page, name)
    close(page)


def test_the_photo_tabs_picture_is_taken_over_once(browser, url, portraits):
    page = open_page(browser, url)
    upload(page, portraits["bare"])
    expect(page.locator("#photo img").first).to_be_visible()
    open_compare(page)
    expect_compared(page)
    expect(given(page)).to_have_text("The picture of the tab Photo.")
    expect(row(page, "Answer").locator(".answer").last).to_have_text("No mask")
    upload_over(page, portraits["worn_right"])
    expect(given(page)).to_have_count(0)
    page.get_by_role("tab", name="Photo").click()
    open_compare(page)
    page.wait_for_timeout(3000)
    expect(given(page)).to_have_count(0)
    close(page)


def upload_over(page: Page, path) -> None:
    """Give another picture in place of the one there is."""
    page.locator("#compare-photo").get_by_label(re.compile("Clear|Remove")).first.click()
    expect(page.locator(".compare")).to_have_count(0)
    upload(page, path, into="compare-photo")


def test_another_way_and_another_class(browser, url):
    page = open_page(browser, url)
    open_compare(page)
    expect_compared(page)
    page.get_by_role("button", name="Explain in another way").click()
    page.locator("#compare-way").get_by_label("Grad-CAM", exact=True).check()
    looked = row(page, "Where it looked")
    expect(looked.locator("[role=cell]").first).to_contain_text("Grad-CAM")
    page.locator("#compare-target").get_by_label("No mask", exact=True).check()
    expect(looked).to_contain_text("Why “No mask”?")
    expect_compared(page)
    close(page)


def test_faces_are_picked_and_the_whole_picture_is_used(browser, url, two_faces):
    page = open_page(browser, url)
    open_compare(page)
    expect_compared(page)
    upload_over(page, two_faces)
    expect(page.locator("#compare-notice")).to_contain_text("2 faces found")
    answer = row(page, "Answer").locator(".answer").last
    expect(answer).to_have_text("No mask")
    page.locator("#compare-face").get_by_text("2 · ").click()
    expect(answer).to_have_text("Worn correctly")
    page.locator("#compare-whole input").check()
    notice = page.locator("#compare-notice")
    expect(notice).to_contain_text("The whole picture is taken")
    close(page)


def test_bad_pictures_get_a_message(browser, url, tmp_path):
    page = open_page(browser, url)
    open_compare(page)
    expect_compared(page)
    (tmp_path / "note.png").write_text("no picture")
    upload_over(page, tmp_path / "note.png")
    notice = page.locator("#compare-notice")
    expect(notice).to_contain_text("not a picture")
    close(page)


def test_the_comparison_can_be_downloaded(browser, url):
    page = open_page(browser, url)
    open_compare(page)
    expect_compared(page)
    with page.expect_download() as download:
        page.get_by_role("button", name="Download the comparison").click()
    assert download.value.suggested_filename == "comparison.zip"
    with ZipFile(download.value.path()) as archive:
        assert list(json.loads(archive.read("face.json"))) == list(VERSIONS)
    close(page)


def test_without_data_the_page_says_how_to_see_disagreements(browser, url):
    page = open_page(browser, url)
    open_compare(page)
    expect(page.locator("#disagreements-notice")).to_contain_text("maskexplain serve --data DIR")
    close(page)


# --- with a data folder


@pytest.fixture
def data_url(tmp_path):
    """The program with a data folder: the example faces as test pictures, right and wrong."""
    folder = tmp_path / "faces"
    rows = ["file,class,split,group,augmented"]
    for name in ("mask_weared_incorrect", "with_mask", "without_mask"):
        (folder / name).mkdir(parents=True)
    for example in example_pictures():
        name = "without_mask" if example.name.startswith("bare") else "with_mask"
        name = "mask_weared_incorrect" if example.name in ("nose_out", "under_the_chin") else name
        example.image.save(folder / name / f"{example.name}.png")
        copy = int(example.name.endswith("dim"))
        rows.append(f"{name}/{example.name}.png,{name},test,{example.name},{copy}")
    (tmp_path / "faces.csv").write_text("\n".join(rows) + "\n")
    command = ("app.py", "--models", *VERSIONS, "--data", str(folder))
    with served(command) as address:
        yield address


def test_the_test_sets_disagreements(browser, data_url):
    page = open_page(browser, data_url)
    open_compare(page)
    expect_compared(page)
    page.get_by_role("button", name="Find disagreements").click()
    tiles = page.locator(".tiles button")
    expect(tiles.first).to_be_visible()
    count = tiles.count()
    notice = page.locator("#disagreements-notice")
    expect(notice).to_have_text(f"v2 and v3 disagree on {count} of 7 test pictures.")
    expect(page.locator("#disagreements-counts")).to_contain_text(f"Of all {count}: v2 right ")
    dim = tiles.filter(has_text="v2: Worn incorrectly ✗ wrong")
    dim = dim.filter(has_text="v3: Worn correctly ✓ right").filter(has_text="made copy")
    expect(dim).to_have_count(1)
    addresses = [image.get_attribute("src") for image in tiles.locator("img").all()]
    assert all(address.startswith("data:image/webp") for address in addresses)
    screenshot(page, "compare-disagreements")
    dim.focus()
    page.keyboard.press("Enter")
    expect(given(page)).to_contain_text("in truth “Worn correctly” (a made copy)")
    expect_compared(page)
    notice = page.locator("#compare-notice")
    expect(notice).to_have_text("The whole picture is taken as the face.")
    page.locator("#unaugmented input").check()
    expect(dim).to_have_count(0)
    close(page)


def test_no_file_of_the_data_folder_can_be_fetched(browser, data_url, tmp_path):
    page = open_page(browser, data_url)
    for name in ("faces/with_mask/striped.png", "faces.csv"):
        answer = page.request.get(f"{data_url}gradio_api/file={tmp_path / name}")
        assert answer.status in (403, 404)
    close(page)


def test_a_bad_data_folder_is_one_sentence(tmp_path):
    command = [sys.executable, "app.py", "--models", *VERSIONS, "--data", str(tmp_path / "no")]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 2
    assert ended.stderr.startswith("app.py: There is no folder") and ended.stderr.count("\n") == 1
