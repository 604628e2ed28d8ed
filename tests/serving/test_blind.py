"""The page's server over real HTTP, as the command starts it: choices that survive SIGKILL, and nothing for those who should not be there."""

import json
import signal
import urllib.error
import urllib.parse
import urllib.request

import pytest

from compare_samples import SECRETS, mine, page_of


def call(url, body=None, **headers):
    """(status, headers, text) of a GET, or of a POST of JSON."""
    data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    kind = {} if body is None else {"Content-Type": "application/json"}
    request = urllib.request.Request(url, data, {**kind, **headers})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, dict(answer.headers), answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, dict(error.headers), error.read().decode()


def pair(url):
    return json.loads(call(url + "pair")[2])


def choose(url, choice):
    shown = pair(url)
    side = {"mine": mine(shown), "other": {"left": "right", "right": "left"}[mine(shown)]}.get(choice, choice)
    status, _, text = call(url + "choice", {"item": shown["item"], "choice": side})
    assert status == 200, text
    return json.loads(text)


@pytest.mark.slow
def test_a_killed_sitting_goes_on_where_it_was_and_ends_with_the_result(tmp_path):
    with page_of(tmp_path) as (process, url):
        assert (pair(url)["done"], pair(url)["total"]) == (0, 22)
        for choice in ["mine"] * 5 + ["tie", "both bad"]:
            after = choose(url, choice)
        process.send_signal(signal.SIGKILL)
        process.wait()
    kept = (tmp_path / "judgements.jsonl").read_text()
    assert kept.count("\n") == 7
    with (tmp_path / "judgements.jsonl").open("a") as file:
        file.write('{"pair": "12')  # a line that the death cut through
    with page_of(tmp_path, "--json") as (process, url):
        assert pair(url) == after  # the same pair, with the same sides
        taken_back = call(url + "undo", {})  # the last choice before the death, taken back and made again
        assert (taken_back[0], json.loads(taken_back[2])["done"]) == (200, 6)
        assert choose(url, "both bad") == after
        for _ in range(15):
            last = choose(url, "other")
        assert (last["item"], last["done"]) == (None, 22)
        assert call(url + "finish", {})[0] == 200
        out, _ = process.communicate(timeout=20)
    found = json.loads(out)["comparison"]
    assert process.returncode == 0
    assert found["tally"] == {
        "wins": 5,
        "losses": 16,
        "ties": 2,
        "both_bad": 1,
    }  # row 4 has no first answer, row 3 has it twice
    assert (found["rate"]["value"], found["rate"]["n"], found["heading"]) == (6.5 / 24, 24, "win rate by people")
    assert (tmp_path / "runs" / "rows-compare-1").is_dir() and not (
        tmp_path / "runs" / "rows-compare-2"
    ).exists()  # the killed run was taken over
    assert (tmp_path / "judgements.jsonl").read_text().startswith(kept)


@pytest.mark.slow
def test_who_is_who_is_nowhere_and_strangers_find_nothing(tmp_path):
    with page_of(tmp_path) as (process, url):
        the_page_lets_nothing_in_or_out(url)
        strangers_find_nothing(url, tmp_path)
        who_is_who_is_nowhere(url)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
    assert process.returncode == 0
    assert not any(secret in (tmp_path / "judgements.jsonl").read_text() for secret in SECRETS)


def who_is_who_is_nowhere(url):
    """Not in the page, its source, its address or a header; and the first system is on both sides about as often."""
    _, headers, html = call(url)
    seen, sides = [url, str(headers), html], []
    while (shown := pair(url))["item"] is not None:
        assert set(shown) == {"item", "done", "total", "can_undo", "instruction", "input", "left", "right", "rater"}
        sides.append(mine(shown))
        seen += [json.dumps(shown), json.dumps(choose(url, "tie"))]
    for text in seen:
        assert not any(secret in text or secret.split("-")[0] in text for secret in SECRETS)
    assert 5 <= sides.count("left") <= 17  # 22 pairs: outside with a chance of 1 in 100, and the same every time


def strangers_find_nothing(url, folder):
    parts = urllib.parse.urlsplit(url)
    base, token = f"http://{parts.netloc}/", parts.path.strip("/")
    assert parts.hostname == "127.0.0.1" and len(token) >= 32
    item = pair(url)["item"]
    wrong_tokens = (f"{token[:-1]}x", token[:-1], token[:1], f"{token}x", token.swapcase())
    for path in ("", "pair", *(f"{wrong}/pair" for wrong in wrong_tokens), f"{token}/../pair", f"{token}/rows.jsonl"):
        assert call(base + path)[0] == 404, path
    assert call(url + "pair", Host=f"rebound.example:{parts.port}")[0] == 404
    assert call(url + "choice", {"item": item, "choice": "tie"}, Origin="https://elsewhere.example")[0] == 404
    assert call(url + "choice", {"item": item, "choice": "tie"}, **{"Content-Type": "text/plain"})[0] == 415
    assert call(url + "pair", Origin=base.rstrip("/"))[0] == 200
    for body in (
        b"{",
        b"[]",
        {"item": item},
        {"item": item, "choice": "A"},
        {"item": True, "choice": "tie"},
        {"item": "0", "choice": "tie"},
    ):
        assert call(url + "choice", body)[0] == 400, body
    assert call(url + "choice", b"[" * 10_000)[0] == 400
    assert call(url + "choice", b"1" * 20_000)[0] == 413
    assert call(url + "choice", {"item": item + 1, "choice": "tie"})[0] == 409  # not the pair that is shown
    assert pair(url)["done"] == 0 and (folder / "judgements.jsonl").read_text() == ""


def the_page_lets_nothing_in_or_out(url):
    _, headers, html = call(url)
    policy = headers["Content-Security-Policy"]
    nonce = policy.partition("'nonce-")[2].partition("'")[0]
    assert (
        policy.startswith("default-src 'none'; ")
        and "connect-src 'self'" in policy
        and "frame-ancestors 'none'" in policy
        and "unsafe" not in policy
    )
    assert f'<script nonce="{nonce}">' in html and html.count("<script") == 1
    assert nonce not in call(url)[2]
    assert "http://" not in html and "https://" not in html and "innerHTML" not in html
    assert (headers["Cache-Control"], headers["Referrer-Policy"], headers["X-Content-Type-Options"]) == (
        "no-store",
        "no-referrer",
        "nosniff",
    )
