"""YuNet as onnxruntime runs it against OpenCV's own detector."""

import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from maskexplain import yunet
from maskexplain.examples import example_pictures

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("size", [(512, 600), (300, 351), (137, 161), (640, 240)])
def test_the_faces_are_opencvs(size):
    portrait = example_pictures(whole=True)[1].image.resize(size)
    pixels = np.ascontiguousarray(np.asarray(portrait)[:, :, ::-1])
    model = np.frombuffer(yunet._model(), np.uint8)
    nothing = np.empty(0, np.uint8)
    theirs = cv2.FaceDetectorYN.create("onnx", model, nothing, size, 0.6, 0.3)
    expected = theirs.detect(pixels)[1]
    found = yunet.detect(pixels)
    assert found.shape == (1, 16) and found.dtype == np.float32
    assert found[:, :15] == pytest.approx(expected, abs=1e-3)


def test_nothing_is_found_in_noise_and_strips():
    rng = np.random.default_rng(0)
    for shape in ((8, 300, 3), (300, 8, 3), (64, 64, 3)):
        assert yunet.detect(rng.integers(0, 255, shape, dtype=np.uint8)).shape == (0, 16)


def test_nothing_is_reported_to_anyone(tmp_path):
    code = (
        "import os; from maskexplain.examples import example_pictures; import maskexplain; "
        "assert maskexplain.find_faces(example_pictures(whole=True)[0].image); "
        "assert os.environ['ORT_DISABLE_TELEMETRY'] == '1'"
    )
    clean = {k: v for k, v in os.environ.items() if k not in ("ORT_DISABLE_TELEMETRY", "CI")}
    environment = {**clean, "TMPDIR": str(tmp_path), "HOME": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, check=True)
    left = [path for path in tmp_path.rglob("*") if path.is_file()]
    # matplotlib keeps its list of fonts there; onnxruntime would keep a number for the machine.
    assert all("matplotlib" in str(path) for path in left)
