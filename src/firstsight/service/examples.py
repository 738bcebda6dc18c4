"""The examples of the OpenAPI document: ada checks in at the door."""

from typing import Any

AT = "2026-11-25T08:00:00Z"
PERSON: dict[str, Any] = {
    "id": 1,
    "name": "ada",
    "enrolled_at": AT,
    "pictures": 1,
    "thumbnail": "/v1/people/1/pictures/1",
}
ENROLLMENT = {"id": 1, "enrolled_at": AT, "consent": "signed, 2026-11-02", "picture": "/v1/people/1/pictures/1"}
VERDICT = {
    "good": True,
    "doubts": [],
    "width": 400,
    "height": 400,
    "enlargement": 0.08,
    "contrast": None,
    "sharpness": None,
    "bright": None,
    "dark": None,
    "white": None,
    "nearest": "bob",
    "distance": 1.61,
    "threshold": 0.84,
}
RECEIPT = {
    "name": "ada",
    "gallery": "the gallery",
    "forgotten_at": AT,
    "templates": 1,
    "pictures": 1,
    "erased_from": ["database", "ledger", "free space of the database", "write-ahead log", "index"],
    "to_erase": [],
    "left_in": [],
    "copies": [{"path": "backup.sqlite", "kind": "backup", "made_at": "2026-11-24T03:00:00Z"}],
    "models": [],
    "not_covered": ["pictures in folders that models are trained on"],
}
DECISION = {
    "decision": "match",
    "name": "ada",
    "person_id": 1,
    "distance": 0.31,
    "threshold": 0.7,
    "nearest": "ada",
    "nearest_id": 1,
    "runner_up": "bob",
    "runner_up_id": 2,
    "runner_up_distance": 1.44,
    "margin": 1.13,
    "bound": 0.05,
    "model": "bed25b86596003c1edbffc7a46d2c1c4d1fef6eab98247f8cd868b87a159a617",
    "calibration": "a3923e8c74e27a45",
    "gallery_size": 2,
    "reason": "",
    "boxes": [],
}
ENTRY = {
    "id": 12,
    "time": "2026-11-25T08:00:00.120+00:00",
    "kind": "identify",
    "verdict": "match",
    "name": "ada",
    "person_id": 1,
    "forgotten": False,
    "direction": "in",
    "camera": "door",
    "review": None,
    "reviewed_at": None,
    "request_id": "6f2c4d0e",
    "repeated": False,
    "decision": DECISION,
}
DAY = {
    "day": "2026-11-25",
    "people": [{"name": "ada", "person_id": 1, "first_in": AT, "last_out": "2026-11-25T17:02:00Z", "seen": 2}],
}
MODEL = {
    "name": "glyphs",
    "identity": DECISION["model"],
    "embedding_size": 128,
    "input": "32x32 gray",
    "people": 2,
    "templates": 2,
    "threshold": 0.7,
    "bound": 0.05,
    "spread": 0.147,
    "promise": ["At most 1 stranger in 20 is let in, 95 % sure, from 254 identities."],
    "now": "With 2 templates enrolled, identify takes the threshold 0.698: at most 1 stranger in 20 is let in.",
    "calibration": {
        "version": "a3923e8c74e27a45",
        "target": 0.05,
        "identities": 254,
        "accepted": 13765,
        "comparisons": 1285240,
        "steps": [{"size": 1, "threshold": 0.838, "bound": 0.05}],
    },
    "curves": {
        "source": "calibration",
        "identities": 254,
        "same_pairs": 10,
        "different_pairs": 10,
        "threshold": [0.0, 0.02],
        "far": [0.0, 0.1],
        "far_bound": [0.023, 0.17],
        "frr": [1.0, 0.2],
        "frr_low": [0.98, 0.15],
        "frr_high": [1.0, 0.26],
        "same": [0, 8],
        "different": [0, 1],
    },
}
SESSION = {"role": "admin", "keys": False, "csrf": "1f0c9a2b", "model": "glyphs", "version": "0.1.0"}
INVITATION = {
    "code": "7K2M-9QXA",
    "address": "https://192.168.1.5:8000/pair.html#7K2M-9QXA",
    "ends": "2026-11-25T08:10:00+00:00",
    "qr": "data:image/svg+xml,...",
}
PRIVACY: dict[str, Any] = {
    "faces": True,
    "embedding_size": 128,
    "picture": [112, 112],
    "pictures_kept": True,
    "encrypted": False,
    "retention_days": 90,
    "probes_until": None,
    "copies": True,
    "debounce": 5.0,
}
PROBLEM: dict[str, Any] = {
    "code": "already-enrolled",
    "message": "ada is enrolled in the gallery already.",
    "hint": "Add a picture: POST /v1/people/1/pictures",
    "verdict": None,
    "boxes": [],
    "person_id": 1,
}
