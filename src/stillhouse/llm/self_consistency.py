"""Self-consistency (Wang et al. 2022, 2203.11171): ask k times, let the answers vote, take agreement as confidence.

Only answers vote: reasons may differ on the way to the same label. A tie elects nobody. The row then has no answer, and
its error gives the votes.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from stillhouse.llm.parsing import ParsedReply


def vote(replies: Sequence[ParsedReply], *, exact: bool = False) -> ParsedReply:
    """The answer that most samples gave, with the rationale of the first sample that gave it.

    `agreement` is its share of all k samples, unreadable ones included. `scores` are each answer's share of the samples
    that could be read: the teacher's distribution as a soft target. Answers that differ only in spacing are one answer,
    unless they are `exact`, as labels and JSON are.
    """
    key = str if exact else _words
    votes = Counter(key(reply.output) for reply in replies if reply.output is not None)
    if not votes:
        reasons = Counter((reply.error or "no answer", reply.counted_as) for reply in replies)
        (reason, counted_as), count = reasons.most_common(1)[0]
        if count == len(replies):
            return ParsedReply(None, error=reason, counted_as=counted_as, agreement=0.0)
        error = f"no sample of {len(replies)} could be read (most often: {reason})"
        return ParsedReply(None, error=error, agreement=0.0)
    most = max(votes.values())
    winners = [answer for answer, count in votes.items() if count == most]
    agreement = most / len(replies)
    if len(winners) > 1:
        error = f"tie: {len(winners)} answers have {most} of {len(replies)} votes each"
        return ParsedReply(None, error=error, agreement=agreement)
    agreeing = [reply for reply in replies if reply.output is not None and key(reply.output) == winners[0]]
    won = agreeing[0]
    how = "strict" if any(reply.how == "strict" for reply in agreeing) else won.how
    spelled = {key(reply.output): reply.output for reply in reversed(replies) if reply.output is not None}
    scores = {spelled[answer]: count / votes.total() for answer, count in votes.most_common()}
    return replace(won, how=how, agreement=agreement, scores=scores)


def _words(answer: str) -> str:
    return " ".join(answer.split())
