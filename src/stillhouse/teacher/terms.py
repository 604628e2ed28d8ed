"""What a provider's terms say of training on its models' answers, shown once before labels are bought in bulk.

Each notice is dated and names its source, because terms change; it is a pointer to them and no legal advice. Where we
could not read the terms ourselves it says where to read them and claims nothing. Self-hosted models, recorded answers
and scripts need no notice.
"""

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from stillhouse.errors import TermsError
from stillhouse.llm.models import base_url_of
from stillhouse.runs import read_json, write_json

LOCAL = "self-hosted"  # the provider's name for loopback, or for a name or address that only your own network knows
# A file beside the task that says which providers' terms the user accepted:
# {provider: {"accepted": time, "notice": date of the notice that was shown}}.
ACCEPTED = ".stillhouse-terms.json"


@dataclass(frozen=True, slots=True)
class Notice:
    """One provider's notice. `dated`: when its terms were read for this text.

    Who confirmed an older notice is shown a newer one again.
    """

    provider: str
    says: str
    source: str
    dated: str

    def __str__(self) -> str:
        read = f"read in public copies on {self.dated}, so check the text in force"
        return f"{self.says} Source: {self.source}; {read}. {_OPEN_WEIGHTS}"


_OPEN_WEIGHTS = (
    "A model with open weights on your own machine (vLLM or llama.cpp at http://localhost:8000/v1#NAME) "
    "is bound by its licence alone: prefer one under Apache-2.0 or MIT, and read it; Llama 3.1's (2024-07-23, "
    "section 1.b) wants a model that learned from its answers to have `Llama` at the beginning of its name "
    "when it is given to others."
)
_DATED = "2026-11-24"
_NOTICES = {
    "OpenAI": Notice(
        "OpenAI",
        "OpenAI's Services BulkConsent (in force since 2026-01-01, section 3.3) forbids using output to develop "
        "AI models that compete with OpenAI, except for what it defines as Permitted Exceptions; whether your student "
        "competes, and whether an exception covers it, is for you to read and decide.",
        "https://openai.com/policies/services-agreement/",
        _DATED,
    ),
    "Anthropic": Notice(
        "Anthropic",
        "Anthropic's Commercial Terms (in force since 2025-06-17, section D.4) forbid using the services to train "
        "competing AI models, and its Usage Policy (2025-09-15) forbids using outputs to train an AI model, "
        "naming model distillation, without its prior authorization: ask for it before you train on these labels.",
        "https://www.anthropic.com/legal/commercial-terms and https://www.anthropic.com/legal/aup",
        _DATED,
    ),
    "Google": Notice(
        "Google",
        "The Gemini API's Additional Terms (version of 2025-05-20) forbid using the services to develop models that "
        "compete with them, and extracting or replicating their models; whether your student competes is for you to "
        "read and decide.",
        "https://ai.google.dev/terms",
        _DATED,
    ),
    "Mistral AI": Notice(
        "Mistral AI",
        "What Mistral AI's terms say of training on outputs was not verified for this notice: "
        "read them before you train on these labels.",
        "https://legal.mistral.ai/terms",
        _DATED,
    ),
}
_HOSTS = {
    "api.openai.com": "OpenAI",
    "api.anthropic.com": "Anthropic",
    "generativelanguage.googleapis.com": "Google",
    "api.mistral.ai": "Mistral AI",
}


def provider_of(teacher: str) -> str | None:
    """Whose machines answer: a provider's name, or the host of one that we do not know, or `LOCAL`.

    None: recorded answers, or a script.
    """
    url = base_url_of(teacher)
    if url is None:
        return None
    host = (urlsplit(url).hostname or "").lower()
    return _HOSTS.get(host) or (LOCAL if _is_local(host) else host)


def _is_local(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return "." not in host or host.endswith((".localhost", ".local", ".lan", ".internal"))
    return address.is_private or address.is_loopback


def notice_of(teacher: str) -> Notice | None:
    """The notice to show before this teacher labels in bulk; None where no provider stands behind it."""
    provider = provider_of(teacher)
    if provider in (None, LOCAL):
        return None
    unknown = (
        "Nothing is known here of what this provider's terms say of training on its models' answers: "
        "read them before you train on these labels."
    )
    where = f"the terms that {provider} publishes"
    return _NOTICES.get(provider or "") or Notice(str(provider), unknown, where, _DATED)


def require_terms(teacher: str, folder: Path) -> None:
    """Raise TermsError unless the teacher needs no notice or its notice was confirmed for the tasks of this folder."""
    notice = notice_of(teacher)
    if notice is None:
        return
    path = folder / ACCEPTED
    confirmed = read_json(path) if path.is_file() else {}
    known = confirmed.get(notice.provider) if isinstance(confirmed, dict) else None
    if not isinstance(known, dict) or str(known.get("notice", "")) < notice.dated:
        raise TermsError(
            f"{notice} To go on, confirm this once with --accept-terms: it is remembered in {path}", teacher, folder
        )


def accept_terms(teacher: str, folder: Path, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> Path | None:
    """Remember that the user confirmed the teacher's notice. Returns where; None where there is nothing to confirm."""
    notice = notice_of(teacher)
    if notice is None:
        return None
    path = folder / ACCEPTED
    confirmed = read_json(path) if path.is_file() else {}
    accepted = now().strftime("%Y-%m-%dT%H:%M:%SZ")
    confirmed[notice.provider] = {"accepted": accepted, "notice": notice.dated, "source": notice.source}
    write_json(path, confirmed)
    return path
