"""What a set of labels, or a row's choices, has to be: each a text that a reply can name and nothing else can mean."""

import unicodedata
from collections.abc import Iterable


def labels_problem(labels: Iterable[str]) -> str | None:
    """What is wrong with these labels, as half a sentence; None: nothing.

    No label is empty, and no two differ in spaces, invisible characters or the encoding of an accent alone: a reply
    could not tell them apart. Labels that differ in case, like "US" and "us", are two labels.
    """
    seen: dict[str, str] = {}
    for label in labels:
        visible = "".join(sign for sign in label if unicodedata.category(sign) != "Cf")
        form = unicodedata.normalize("NFC", " ".join(visible.split()))
        if not form:
            return f"{label!r} is empty, and no reply can name it"
        if (other := seen.setdefault(form, label)) != label:
            return f"{other!r} and {label!r} differ in spaces, invisible characters or the encoding of an accent alone"
    return None
