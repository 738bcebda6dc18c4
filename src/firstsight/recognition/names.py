"""What may be a name."""

import unicodedata

from firstsight.errors import GalleryError

MAX_NAME = 200
_BIDI = set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")  # would let a name be shown as another


def clean_name(name: str, what: str = "name") -> str:
    """The name as it is kept: without spaces around it, accents composed (Unicode NFC). `what` it is, for messages.

    Raises:
        GalleryError: empty, longer than 200 characters, or with characters that do not show.

    Example:
        >>> clean_name(" Ada Lovelace ")
        'Ada Lovelace'
    """
    cleaned = unicodedata.normalize("NFC", name).strip()
    if not cleaned:
        raise GalleryError(f"A {what} is empty.", hint=f"Give a {what} of at least one character.")
    if len(cleaned) > MAX_NAME:
        raise GalleryError(f"The {what} {cleaned[:20]}… has more than {MAX_NAME} characters.", hint="Shorten it.")
    if not cleaned.isprintable() and any(
        unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") or c in _BIDI for c in cleaned
    ):
        raise GalleryError(f"The {what} {cleaned!r} has characters that do not show.", hint="Type it anew.")
    return cleaned
