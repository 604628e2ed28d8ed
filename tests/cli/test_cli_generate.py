"""How `stillhouse generate` ends: its exit code, and what it says where little or nothing came of it."""

from pathlib import Path

PRICED = ("--price-in", 0, "--price-out", 1000)


def test_without_a_row_it_fails_and_shows_a_reply_and_what_the_budget_ended_is_a_success(
    stillhouse, endpoint, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    asking = ("generate", "--seeds", "builtin", "--no-report", "-n", 30, "--store", "s.db")
    nothing = stillhouse(*asking, "--teacher", endpoint.url("nonsense"), "--unpriced")
    assert nothing.code == 1
    assert "2 calls (0 answered from the store) asked for 40 proposals" in nothing.out
    assert "40 dropped: no numbered proposal" in nothing.out  # counted in one unit
    assert "none of the first 40 proposals could be read" in nothing.err
    assert "I would rather not say" in nothing.err and "varied seeds" not in nothing.err
    assert Path("generated.dropped.jsonl").is_file()
    # A call may cost $3.072 and costs $0.002: one of them.
    ended = stillhouse(*asking, "--teacher", endpoint.url("proposals"), *PRICED, "--max-usd", 3.0735)
    assert (
        ended.code == 0
        and "stopped (budget)" in ended.err
        and 0 < len(Path("generated.jsonl").read_text().splitlines()) < 30
    )
