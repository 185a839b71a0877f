"""The seed's Flask app, as its author wrote it, with v2's weights: what ours is held against.

    python -m benchmarks.flask_seed SCRIPTED.pth PORT [--faces]

Flask's development server with a thread a request, the picture by Pillow, torchvision's
transforms, a TorchScript network, PyTorch's default threads: as such apps are written. With
`--faces` our face finder stands in front, and the largest face is answered.
"""

import sys

import torch
from flask import Flask, jsonify, request
from PIL import Image
from torchvision import transforms

from maskexplain.images.crops import find_subjects

CLASSES = ("mask_weared_incorrect", "with_mask", "without_mask")


def make_app(weights: str, faces: bool = False) -> Flask:
    """The app: POST /predict, `file` in, `prediction` and `confidence` (percent) out."""
    app = Flask(__name__)
    model = torch.jit.load(weights, map_location="cpu").eval()
    transform = transforms.Compose(
        [
            transforms.Resize((64, 64)),
            transforms.ToTensor(),
            transforms.Normalize([0.5] * 3, [0.5] * 3),
        ]
    )

    @app.post("/predict")
    def predict():  # noqa: ANN202
        if "file" not in request.files:
            return jsonify({"error": "No file"}), 400
        image = Image.open(request.files["file"].stream).convert("RGB")
        if faces:
            image = find_subjects(image).images[0]
        with torch.no_grad():
            probabilities = torch.softmax(model(transform(image).unsqueeze(0)), dim=1)[0]
        confidence, index = torch.max(probabilities, 0)
        return jsonify({"prediction": CLASSES[index], "confidence": confidence.item() * 100})

    return app


if __name__ == "__main__":
    app = make_app(sys.argv[1], "--faces" in sys.argv)
    app.run("127.0.0.1", int(sys.argv[2]), threaded=True)
