"""Galleries on a server, opened as a program would."""

import torch
from tiny_models import pixel_model

from firstsight.recognition.gallery import Gallery


def opened(url: str) -> Gallery:
    gallery = Gallery(url)
    gallery.bind_model(pixel_model("tiny"))
    return gallery


def in_search(url: str, search: str) -> str:
    return f"{url}&search={search}"


def names_found(gallery: Gallery, template: torch.Tensor, k: int = 2) -> list[str]:
    return [match.name for match in gallery.search(template[None], k)[0]]
