"""YuNet for pictures of any size, made from OpenCV's file: `python -m tools.yunet FROM TO`.

OpenCV's file is written for 640 x 640 pixels, although nothing in the network needs that. Only the
names of the sizes change, no number of the network. Needs the extra `export`.
"""

import sys
from pathlib import Path

import onnx

SIDES = {2: "height", 3: "width"}  # of the input, by axis
CELLS = 1  # axis of the outputs: a row for each cell of a grid


def any_size(content: bytes) -> bytes:
    """The same network with its sizes left open."""
    model = onnx.load_from_string(content)
    _open_sizes(model.graph.input[0], SIDES)
    for output in model.graph.output:
        _open_sizes(output, {CELLS: f"cells_{output.name.rpartition('_')[2]}"})
    del model.graph.value_info[:]
    onnx.checker.check_model(model)
    return model.SerializeToString()


def _open_sizes(value: onnx.ValueInfoProto, names: dict[int, str]) -> None:
    for axis, name in names.items():
        value.type.tensor_type.shape.dim[axis].dim_param = name


if __name__ == "__main__":
    source, target = map(Path, sys.argv[1:])
    target.write_bytes(any_size(source.read_bytes()))
