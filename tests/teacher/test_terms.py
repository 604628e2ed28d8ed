"""The notice on a provider's terms: shown before labels are bought, confirmed once, remembered beside the task."""

import json
from datetime import UTC, datetime

import pytest

from stillhouse.errors import TermsError
from stillhouse.teacher.provenance import SELF_HOSTED, STAND_IN, UNKNOWN, licence_class, prompt_hash, provenance
from stillhouse.teacher.terms import ACCEPTED, accept_terms, notice_of, provider_of, require_terms

HOSTED = {
    "openai:gpt-6-luna": "OpenAI",
    "https://api.anthropic.com/v1#claude": "Anthropic",
    "https://generativelanguage.googleapis.com/v1beta/openai#gemini": "Google",
    "https://api.mistral.ai/v1#large": "Mistral AI",
    "https://llm.example.com/v1#any": "llm.example.com",
    "https://api.openai.com.evil.example/v1#any": "api.openai.com.evil.example",
}
OWN = [
    "http://127.0.0.1:8000/v1#m",
    "http://[::1]:8000/v1#m",
    "http://localhost/v1#m",
    "http://10.1.2.3/v1#m",
    "http://gpu-box:8000/v1#m",
    "http://gpu.lan/v1#m",
]


@pytest.mark.parametrize("teacher", HOSTED)
def test_a_hosted_teacher_is_asked_nothing_before_its_notice_is_confirmed_and_then_it_is_remembered(tmp_path, teacher):
    notice = notice_of(teacher)
    assert provider_of(teacher) == notice.provider == HOSTED[teacher]
    assert notice.source in str(notice) and notice.dated in str(notice) and "open weights" in str(notice)
    with pytest.raises(TermsError, match="--accept-terms"):
        require_terms(teacher, tmp_path)
    accept_terms(teacher, tmp_path, now=lambda: datetime(2026, 12, 1, tzinfo=UTC))
    require_terms(teacher, tmp_path)
    kept = json.loads((tmp_path / ACCEPTED).read_text())
    assert kept == {
        notice.provider: {"accepted": "2026-12-01T00:00:00Z", "notice": notice.dated, "source": notice.source}
    }


@pytest.mark.parametrize("teacher", [*OWN, "recorded:answers.jsonl", "scripted:module:object"])
def test_ones_own_machines_and_recordings_need_no_notice(tmp_path, teacher):
    require_terms(teacher, tmp_path)
    assert notice_of(teacher) is None
    assert accept_terms(teacher, tmp_path) is None
    assert list(tmp_path.iterdir()) == []


def test_an_openai_name_at_ones_own_address_is_self_hosted(monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    assert notice_of("openai:anything") is None


def test_one_providers_yes_is_no_yes_to_another_and_a_newer_notice_is_shown_again(tmp_path):
    accept_terms("openai:a", tmp_path)
    require_terms("openai:b", tmp_path)
    with pytest.raises(TermsError, match="Anthropic"):
        require_terms("https://api.anthropic.com/v1#c", tmp_path)
    accept_terms("https://api.anthropic.com/v1#c", tmp_path)
    require_terms("openai:a", tmp_path)
    kept = json.loads((tmp_path / ACCEPTED).read_text())
    kept["OpenAI"]["notice"] = "2020-01-01"
    (tmp_path / ACCEPTED).write_text(json.dumps(kept))
    with pytest.raises(TermsError, match="OpenAI"):
        require_terms("openai:a", tmp_path)


def test_a_provider_whose_terms_nobody_read_is_said_to_be_unread():
    for teacher in ("https://llm.example.com/v1#any", "https://api.mistral.ai/v1#large"):
        assert "read them before you train" in str(notice_of(teacher))
        assert "forbid" not in notice_of(teacher).says


def test_no_licence_is_made_up():
    assert licence_class("openai:gpt-6-luna") == "terms of OpenAI"
    assert licence_class("http://localhost/v1#m") == SELF_HOSTED
    assert licence_class("recorded:a.jsonl") == licence_class("scripted:a:b") == UNKNOWN
    assert licence_class("scripted:a:b", stand_in=True) == STAND_IN
    assert licence_class("http://localhost/v1#m", stated="apache-2.0") == "apache-2.0"


def test_a_prompts_hash_follows_its_words_and_its_schema():
    messages = [{"role": "system", "content": "Is it good?"}]
    assert prompt_hash(messages) == prompt_hash([{"content": "Is it good?", "role": "system"}])
    assert (
        len({prompt_hash(messages), prompt_hash([*messages, *messages]), prompt_hash(messages, {"type": "object"})})
        == 3
    )


def test_provenance_keeps_what_is_unknown_as_null():
    row = provenance(
        "recorded:a.jsonl", date=None, prompt_hash=None, parameters={}, price_snapshot=None, licence=UNKNOWN
    )
    assert list(row) == ["teacher", "date", "prompt_hash", "parameters", "price_snapshot", "licence"]
    assert (row["date"], row["licence"]) == (None, "unknown")
