"""One real face, out of the pictures that scikit-image carries: Eileen Collins, by NASA, in the public domain."""

import skimage.data
from PIL import Image


def portrait() -> Image.Image:
    """512 x 512 pixels, in color; the face is 90 pixels wide, above and left of the middle."""
    return Image.fromarray(skimage.data.astronaut())


def cat() -> Image.Image:
    """A picture without a face."""
    return Image.fromarray(skimage.data.chelsea())


def group() -> Image.Image:
    """The same face three times, from left to right; the second is the largest, the third nearest to the middle."""
    picture = Image.new("RGB", (1100, 500))
    face = portrait().crop((120, 0, 330, 240))
    picture.paste(face, (0, 100))
    picture.paste(face.resize((315, 360)), (230, 100))
    picture.paste(face, (550, 100))
    return picture
