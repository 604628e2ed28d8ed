"""The marks that chat templates put behind a turn, where a server leaves them in the reply: `<|im_end|>`, `</s>`.

They are no part of an answer, and neither is a further turn that the model invented behind one.
"""

import re

_MARK = re.compile(r"(?:<\|\w{1,30}\|>|</s>|<end_of_turn>|<eos>|<｜end▁of▁sentence｜>)\Z")
_NEXT_TURN = re.compile(
    r"(?:<\|im_end\|>|<\|eot_id\|>|<\|end\|>|<end_of_turn>|</s>)\s{0,20}"
    r"(?:<\|im_start\|>|<\|start_header_id\|>|<\|start\|>|<\|user\|>|<start_of_turn>|<s>\s{0,3}\[INST\])"
)
_LONGEST = 40  # characters
_MOST = 50  # marks in a row


def without_end_marks(text: str) -> str:
    """The text up to the marks at its end; itself where there are none."""
    if "<" not in text:
        return text
    if (turn := _NEXT_TURN.search(text)) is not None:
        text = text[: turn.start()]
    for _ in range(_MOST):
        whole = text.rstrip()
        mark = _MARK.search(whole, max(0, len(whole) - _LONGEST))
        if mark is None or (mark[0] == "</s>" and "<s>" in text):  # there it closes what is struck out
            return text
        text = whole[: mark.start()]
    return text
