"""How much one request may ask for, by what the work costs: characters of rows and choices, rows, messages, objects.

A body's bytes say little: 400 questions over one input cost 400 inputs, and three bytes are one more object. Who asks
for more gets a 413 with a sentence before any of the work is done.
"""

from collections.abc import Sequence

from stillhouse.records import Example
from stillhouse.serving.errors import ApiError

MOST_BYTES = 4 * 2**20  # bytes of a body, where a prompted model is served: its endpoint says what it reads
# Bytes of a body, where students alone are served. The longest input and its choices are 720 kB where every character
# is escaped as six, and the messages before them are not read.
MOST_BYTES_OF_STUDENTS = 2**20
MOST_CHARACTERS = 100_000  # characters of a row that a student reads: 15 times what the longest encoder reads
MOST_CHARACTERS_OF_PROMPT = 250_000  # characters of a request's messages in which an input is looked for
MOST_CHARACTERS_ASKED = 400_000  # characters of all the different rows of one request
MOST_CHARACTERS_WAITING = 8_000_000  # characters of all the rows that one model has under way
MOST_CHARACTERS_PER_BATCH = 100_000
# Characters of one request where a student scores (input, choice) pairs: it reads the input once per choice.
MOST_CHARACTERS_OF_PAIRS = 1_000_000
MOST_PAIRS = 4096
MOST_CHOICES = 255  # choices of a row, as the API itself has it for decisions
MOST_CHOICE_CHARACTERS = 20_000  # characters of all choices of a row
MOST_MESSAGES = 2048
MOST_PARTS = 200_000  # values of one body, and signs in its texts that could be between values
MOST_PARTS_OF_STUDENTS = 100_000  # where students alone are served
# Characters of a number. To turn thousands of digits into a number holds up all threads, and the time grows with their
# square; what an app sends has 20 digits, or 25 with sign, point and exponent.
MOST_DIGITS = 40


def check_input(model: str, text: str, most: int | None, beside: int = 0) -> None:
    """Raises ApiError (413) for an input of more characters than this model is given.

    `beside`: so many more may be in the text that are not the input's.
    """
    if most is not None and len(text) > most + beside:
        message = f"the input has {len(text):,} characters and {model} reads at most {most:,}; send a shorter input"
        raise ApiError(413, message, code="input_too_long")


def check_choices(choices: Sequence[str]) -> None:
    """Raises ApiError (413) for more choices than one row can have."""
    if len(choices) > MOST_CHOICES:
        message = f"there are {len(choices):,} choices, and at most {MOST_CHOICES} are taken; give fewer"
        raise ApiError(413, message, param="choices", code="too_many_choices")
    if (n := sum(map(len, choices))) > MOST_CHOICE_CHARACTERS:
        message = f"the choices have {n:,} characters, and at most {MOST_CHOICE_CHARACTERS:,} are taken; shorten them"
        raise ApiError(413, message, param="choices", code="choices_too_long")


def characters_read(row: Example, *, in_pairs: bool) -> int:
    """What a student reads of a row: its input and choices, or with `in_pairs` its input once per choice."""
    choices = row.choices or ()
    return len(row.text) * (len(choices) if in_pairs else 1) + sum(map(len, choices))


def check_pairs(model: str, n_pairs: int, n_characters: int) -> None:
    """Raises ApiError (413) for a request whose inputs a model would read too often, once per choice."""
    if n_characters > MOST_CHARACTERS_OF_PAIRS or n_pairs > MOST_PAIRS:
        message = (
            f"{model} reads the input once per choice: {n_pairs:,} times, {n_characters:,} characters; at most "
            f"{MOST_PAIRS:,} times and {MOST_CHARACTERS_OF_PAIRS:,} characters are read for one request; "
            "give fewer choices or questions, or a shorter input"
        )
        raise ApiError(413, message, param="choices", code="request_too_large")


def check_rows(n_rows: int, n_characters: int) -> None:
    """Raises ApiError (413) for a request whose different rows are too much text together."""
    if n_characters > MOST_CHARACTERS_ASKED:
        message = (
            f"{n_rows} different questions over this input are {n_characters:,} characters to read, and at most "
            f"{MOST_CHARACTERS_ASKED:,} are read for one request; ask fewer questions at once or send a shorter input"
        )
        raise ApiError(413, message, param="questions", code="request_too_large")


def check_parts(raw: bytes | bytearray, most: int = MOST_PARTS) -> None:
    """Raises ApiError (413) for a body that would become very many objects: taking it apart holds up all threads.

    The signs between values are counted, which is quick; those within texts count too.
    """
    if (n := sum(raw.count(sign) for sign in (b"{", b"[", b":", b","))) > most:
        message = f"the body has {n:,} brackets, colons and commas, and at most {most:,} are read; send less"
        raise ApiError(413, message, code="body_too_large")


def whole_number(digits: str) -> int:
    """The number of a body, for `json.loads`. Raises ApiError (400) for one of very many digits, before it is made."""
    _check_digits(digits)
    return int(digits)


def decimal_number(digits: str) -> float:
    """As `whole_number`."""
    _check_digits(digits)
    return float(digits)


def _check_digits(digits: str) -> None:
    if len(digits) > MOST_DIGITS:
        message = f"the body has a number of {len(digits):,} characters, and at most {MOST_DIGITS} are read; shorten it"
        raise ApiError(400, message, code="number_too_long")
