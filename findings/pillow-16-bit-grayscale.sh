#!/bin/bash
# Package: pillow==13.0.0, tensorflow-cpu==2.21.0
# Behaviour: one and the same 16-bit grayscale PNG becomes other bytes in Pillow than in TensorFlow: Pillow's convert("L") and convert("RGB") cut every value
# Behaviour: above 255 to 255, without a word, while tf.io.decode_image keeps the upper eight of the sixteen bits. A picture whose values are 0, 256, 32768 and 65535 is
# Behaviour: 0, 255, 255, 255 in the one and 0, 1, 128, 255 in the other: medical and depth images turn white where Pillow decodes what TensorFlow is to predict.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check "pillow==13.0.0" "tensorflow-cpu==2.21.0"
cd "$work"
CUDA_VISIBLE_DEVICES=-1 TF_CPP_MIN_LOG_LEVEL=3 "$work/venv/bin/python" - 2>/dev/null <<'PY'
import sys

import numpy as np
import PIL
import tensorflow as tf
from PIL import Image

print("pillow", PIL.__version__, "tensorflow", tf.__version__)
Image.fromarray(np.array([[0, 256, 32768, 65535]], np.uint16)).save("deep.png")
by_pillow = np.asarray(Image.open("deep.png").convert("L")).reshape(-1).tolist()
in_colour = np.asarray(Image.open("deep.png").convert("RGB"))[..., 0].reshape(-1).tolist()
by_tensorflow = tf.io.decode_image(open("deep.png", "rb").read(), channels=1).numpy().reshape(-1).tolist()
print("Pillow, L:", by_pillow, "RGB:", in_colour, "TensorFlow:", by_tensorflow)
as_stated = by_pillow == in_colour == [0, 255, 255, 255] and by_tensorflow == [0, 1, 128, 255]
print("as stated" if as_stated else "the behaviour has changed")
sys.exit(0 if as_stated else 1)
PY
