"""The page of everything measured of a version: whole, safe, for everybody, and asking nobody."""

import re
import shutil
from pathlib import Path

import pytest
from browser import needs_browser
from conftest import noise
from test_browser_look import overflow, violations

from maskexplain import cli
from maskexplain.models.checkpoints import write_results
from maskexplain.models.results import Epoch, Results

HISTORY = [
    Epoch(n, 1.2 / n, 1.5 / n, 0.3 + 0.2 * n, {"mask_weared_incorrect": 0.2 * n}, 1e-3)
    for n in (1, 2, 3)
]
LIGHT, DARK = "rgb(255, 255, 255)", "rgb(20, 23, 27)"
LOOKS = [(1300, "light", LIGHT), (1300, "dark", DARK), (390, "light", LIGHT), (390, "dark", DARK)]
NAMED = "<img src=x onerror=alert(1)>"


@pytest.fixture
def page(toy_folder, version, tmp_path):
    """The report of a tiny version that was never trained, so that it answers much wrongly."""
    write_results(Path(version), Results(name="tiny", history=HISTORY, best_epoch=2, epochs=3))
    (toy_folder.parent / "toy.csv").unlink()
    other = shutil.copytree(toy_folder, tmp_path / NAMED)
    noise(2, (20, 20)).save(other / "with_mask" / "a.png")
    out = tmp_path / "report.html"
    folders = ["--data", str(toy_folder), "--data", str(other)]
    more = ["--split", "all", "--faces", "30", "--out", str(out)]
    assert cli.main(["report", version, *folders, *more]) == 0
    return out


def test_the_report_holds_what_was_measured_and_names_are_escaped(page):
    text = page.read_text()
    for part in ("Training", "Answers", "Under changes of the picture", "How sure it is"):
        assert re.search(f"<h2[^>]*>{part}", text)
    assert "Loss over 3 epochs: train from 1.20 to 0.40; val from 1.50 to 0.50" in text
    assert "The dotted line marks epoch 2" in text
    assert re.search(r"Balanced accuracy <b>0\.\d{3}</b> on 30 pictures \(all\)", text)
    assert len(re.findall(r"\d of \d+</td>", text)) >= 3 and "95% interval (Wilson)" in text
    assert "JPEG 20" in text and "with the nose out" in text
    assert re.search(r"Expected calibration error: <b>0\.\d{3}</b>", text)
    errors = int(re.search(r"(\d+) of 60 pictures are answered wrongly", text)[1])
    shown = text.count('alt="Heatmap of error')
    assert 1 <= shown <= min(errors, 12)
    assert text.count("Blur the brightest fifth") + text.count("Every place speaks") == shown
    assert "have a label that the other pictures contradict" in text
    assert not list(page.parent.glob(".[0-9]*")), "nothing half-written is left"
    assert NAMED not in text and "toy and &lt;img src=x onerror=alert(1)&gt;" in text
    assert not re.search(r"(src|href|url)=?[\"(](?!data:|#)", text)
    assert "<script" not in text


@needs_browser[0]
def test_the_report_can_be_read_by_everyone(browser, page):
    for width, scheme, paper in LOOKS:
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        shown, asked = context.new_page(), []
        shown.on("request", lambda request, asked=asked: asked.append(request.url))
        shown.goto(page.as_uri())
        shown.locator("details summary").click()
        assert violations(shown) == [] and overflow(shown) <= 0, (width, scheme)
        assert shown.evaluate("getComputedStyle(document.body).backgroundColor") == paper
        assert all(address.startswith(("file:", "data:")) for address in asked)
        context.close()


def test_a_class_of_one_group_hinders_the_check_alone(toy_folder, version, tmp_path):
    csv_file = toy_folder.with_suffix(".csv")
    csv_file.write_text(re.sub(r"with_mask\d+(?=,\d\n)", "one", csv_file.read_text()))
    csv_file.write_text(re.sub("(train|val),one", "test,one", csv_file.read_text()))
    out = tmp_path / "report.html"
    assert cli.main(["report", version, "--data", str(toy_folder), "--out", str(out)]) == 0
    assert "cannot be checked: each class needs pictures of more groups" in out.read_text()


def test_no_data_gets_a_sentence(version, tmp_path, capsys):
    assert cli.main(["report", version, "--data", str(tmp_path / "none")]) == 2
    assert "There is no folder" in capsys.readouterr().err
