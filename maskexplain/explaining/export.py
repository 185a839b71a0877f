"""A report to take away: figure as PNG, heatmaps as .npy, everything as JSON, all of it as zip."""

import json
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
from PIL import Image

from ..files import write_file
from .draw import file_bytes
from .figure import explanation_figure
from .report import Report


def report_files(crop: Image.Image, reports: Sequence[Report], stem: str) -> dict[str, bytes]:
    """File names and contents: STEM.png, STEM.json, STEM.crop.png and a .npy for each heatmap.

    A .npy holds float32 H x W at the crop's size, signed.
    """
    files = {f"{stem}.png": explanation_figure(crop, reports), f"{stem}.crop.png": file_bytes(crop)}
    facts = {}
    for report in reports:
        facts[report.model.name] = content = report.to_dict()
        for way, e, told in zip(
            report.ways, report.answer.explanations, content["explanations"], strict=True
        ):
            name = f"{stem}.{report.model.name}.{way.key.replace('/', '-')}.npy"
            files[name] = _npy(e.heatmap)
            told["heatmap"] = name
    files[f"{stem}.json"] = (json.dumps(facts, indent=1) + "\n").encode()
    return files


def write_report(folder: Path, files: dict[str, bytes]) -> None:
    """Write the files into a folder. Raises UserError where that is not possible."""
    for name, content in files.items():
        write_file(folder / name, lambda beside, content=content: beside.write_bytes(content))


def zip_of(files: dict[str, bytes]) -> bytes:
    """The files as one zip archive."""
    buffer = BytesIO()
    with ZipFile(buffer, "w", ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def _npy(heatmap: np.ndarray) -> bytes:
    buffer = BytesIO()
    np.save(buffer, heatmap)
    return buffer.getvalue()
