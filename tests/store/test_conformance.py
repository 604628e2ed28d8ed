"""What every database behind the store and the journal must do, on SQLite and on PostgreSQL alike."""

import asyncio
import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stillhouse.errors import RunBusyError, StorageError, UserError
from stillhouse.records import Usage
from stillhouse.store import claims, completions, open_store
from stillhouse.store.completions import StoredCompletion
from stillhouse.store.journal import StepRow, key_id, open_journal


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    return str(tmp_path / "s.db") if request.param == "sqlite" else request.getfixturevalue("postgres_url")


def rows(url, statement):
    """What the database itself holds, asked past our code."""
    if not url.startswith("postgresql://"):
        with contextlib.closing(sqlite3.connect(url)) as connection:
            return connection.execute(statement).fetchall()
    import psycopg

    with psycopg.connect(url, options="-c search_path=stillhouse") as connection:
        return connection.execute(statement).fetchall()


# The completions


def completion(name, text="yes", messages=(), **request):
    asked = {"model": "m", **({"messages": list(messages)} if messages else {}), **request}
    return StoredCompletion(
        request_hash=name,
        model="m",
        request=asked,
        response={"text": text, "token_logprobs": [["a", -0.5]]},
        usage=Usage(1, 2),
        cost_usd=0.5,
        price_snapshot="a price",
        latency_s=0.25,
        created="2026-01-01T00:00:00Z",
    )


async def test_what_was_put_comes_back_whole_for_whoever_opens_the_store_next(url):
    unknown = StoredCompletion(
        request_hash="b",
        model="m",
        request={},
        response={"text": None},
        usage=None,
        cost_usd=None,
        price_snapshot=None,
        latency_s=None,
        created="2026-01-01T00:00:00Z",
    )
    with open_store(url) as store:
        await store.put(completion("a", messages=[{"role": "user", "content": "hi"}], parameters={"stop": ["\n"]}))
        await store.put(unknown)
    with open_store(url) as again:
        assert again.get("a") == completion(
            "a", messages=[{"role": "user", "content": "hi"}], parameters={"stop": ["\n"]}
        )
        assert again.get("b") == unknown
        assert again.get("absent") is None
        assert {found.request_hash for found in again.get_many(["a", "b", "absent"])} == {"a", "b"}
        assert again.get_many([]) == []
        assert again.count() == 2


@pytest.mark.slow
async def test_many_calls_at_once_from_two_owners_are_all_committed_when_they_return(url):
    with open_store(url) as one, open_store(url) as other:
        shared = {"role": "system", "content": "answer"}
        await asyncio.gather(
            *(
                (one if n % 2 else other).put(
                    completion(f"h{n}", messages=[shared, {"role": "user", "content": str(n)}])
                )
                for n in range(1500)
            )
        )
        assert one.count() == other.count() == 1500
        found = one.get_many([f"h{n}" for n in range(1500)])
        assert {stored.request["messages"][1]["content"] for stored in found} == {str(n) for n in range(1500)}


async def test_the_first_answer_to_a_request_stays_also_within_one_commit(url):
    with open_store(url) as store:
        await asyncio.gather(*(store.put(completion("a", text)) for text in ("first", "second", "third")))
        await store.put(completion("a", "fourth"))
        assert store.get("a").response["text"] == "first"


@pytest.mark.parametrize("text", ["naïve 漢字 🙂", "a\x00b", "\x00", "\\u0000", "\"'$1 %s ?", "é" * 100_000])
async def test_any_text_comes_back_as_it_was(url, text):
    with open_store(url) as store:
        stored = completion("a", text, messages=[{"role": "user", "content": text}], stop=[text])
        await store.put(stored)
        assert store.get("a") == stored


async def test_half_a_surrogate_pair_is_refused_and_those_who_share_its_commit_are_not(url):
    with open_store(url) as store:
        torn = completion("torn", "half \ud800"), completion("torn too", messages=[{"content": "half \ud800"}])
        outcomes = await asyncio.gather(
            *(store.put(row) for row in (*torn, completion("a"), completion("b"))), return_exceptions=True
        )
        assert [type(outcome) for outcome in outcomes] == [StorageError, StorageError, type(None), type(None)]
        assert "surrogates" in str(outcomes[0])
        assert store.count() == 2


async def test_a_conversation_is_stored_in_linear_space_and_shared_beginnings_once(url):
    """200 turns of 1 kB: whole requests would be 200 * 201 / 2 kB = 20 MB; there are 200 messages."""
    turns = [{"role": "user" if n % 2 == 0 else "assistant", "content": f"{n} " + "x" * 1000} for n in range(200)]
    with open_store(url) as store:
        for n in range(200):
            await store.put(completion(f"h{n}", messages=turns[: n + 1]))
        assert store.get("h199").request["messages"] == turns
        assert [len(store.get(f"h{n}").request["messages"]) for n in (0, 1, 100)] == [1, 2, 101]
    assert rows(url, "SELECT COUNT(*), SUM(LENGTH(message)) FROM messages") == [
        (200, sum(len(json.dumps(turn, separators=(",", ":"))) for turn in turns))
    ]
    assert rows(url, "SELECT SUM(LENGTH(request)) FROM completions")[0][0] < 200 * 100


async def test_messages_that_are_not_plain_texts_are_kept_as_they_are(url):
    """1, 1.0 and True are equal to Python, and not to whoever is asked."""
    asked = [[{"role": "user", "n": n, "tool_calls": [{"id": "a"}]}] for n in (1, 1.0, True, None)]
    with open_store(url) as store:
        for number, messages in enumerate(asked):
            await store.put(completion(f"h{number}", messages=messages))
        assert [json.dumps(store.get(f"h{number}").request["messages"], sort_keys=True) for number in range(4)] == [
            json.dumps(messages, sort_keys=True) for messages in asked
        ]


async def test_a_store_that_is_closed_says_so(url):
    store = open_store(url)
    store.close()
    with pytest.raises(StorageError, match="closed"):
        await store.put(completion("a"))


# Claims: who pays for a call


async def claims_of(store, hashes):
    return await asyncio.gather(*(store.claim(hash_) for hash_ in hashes))


async def test_a_call_is_claimed_by_one_owner_and_the_claim_ends_with_the_completion(url):
    with open_store(url) as one, open_store(url) as other:
        assert await one.claim("a") == "ours"
        assert await other.claim("a") == "theirs"
        [claim] = other.claimed(["a", "b"])
        assert (claim.request_hash, claim.held()) == ("a", "process")
        await one.put(completion("a"))
        assert rows(url, "SELECT * FROM claims") == []
        assert (await other.claim("a"), await one.claim("a")) == ("answered", "answered")
        assert rows(url, "SELECT * FROM claims") == []


async def test_a_claim_that_is_given_up_is_free(url):
    with open_store(url) as one, open_store(url) as other:
        assert await claims_of(one, ["a", "b", "c"]) == ["ours"] * 3
        one.release("a")
        one.release("never claimed")
        assert await one.claim("d") == "ours"  # what was sent before is committed by now
        assert [row.request_hash for row in other.claimed(["a", "b"])] == ["b"]
        assert await claims_of(other, ["a", "b"]) == ["ours", "theirs"]
        other.release("b")  # it is another's, and stays that
        assert await other.claim("e") == "ours"  # what was sent before is committed by now
        assert await other.claim("b") == "theirs"
    with open_store(url) as third:  # both have closed
        assert await claims_of(third, ["a", "b", "c", "d", "e"]) == ["ours"] * 5
    assert rows(url, "SELECT * FROM claims") == rows(url, "SELECT * FROM claimants") == []


async def test_of_many_claims_at_once_in_any_order_each_goes_to_one_owner(url):
    hashes = [f"h{n}" for n in range(700)]
    with open_store(url) as one, open_store(url) as other:
        found = await asyncio.gather(claims_of(one, hashes), claims_of(other, hashes[::-1]))
        both = list(zip(found[0], found[1][::-1], strict=True))
        assert {frozenset(pair) for pair in both} == {frozenset({"ours", "theirs"})}


async def test_no_call_is_claimed_that_was_answered_in_between(url):
    """Claims and answers of two owners cross each other: whoever has claimed a call puts it, so each is put once."""
    hashes, put = [f"h{n}" for n in range(300)], []

    async def pay(store, hash_):
        for _ in range(10_000):
            if (claimed := await store.claim(hash_)) != "theirs":
                break
        if claimed == "ours":
            put.append(hash_)
            await store.put(completion(hash_))

    with open_store(url) as one, open_store(url) as other:
        await asyncio.gather(*(pay(store, hash_) for hash_ in hashes for store in (one, other)))
    assert sorted(put) == sorted(hashes)
    assert rows(url, "SELECT * FROM claims") == []


async def test_two_tasks_that_share_a_store_are_two_claimants(url):
    with open_store(url) as store:
        assert sorted(await claims_of(store, ["a", "a"])) == ["ours", "theirs"]
        assert await store.claim("a") == "theirs"
        store.release("a")
        assert await store.claim("a") == "ours"
        assert len(store.claimed(["a"])) == 1


async def test_who_is_stopped_while_it_claims_leaves_no_claim(url):
    with open_store(url) as one, open_store(url) as other:
        claiming = asyncio.create_task(one.claim("a"))
        await asyncio.sleep(0)
        claiming.cancel()
        with pytest.raises(asyncio.CancelledError):
            await claiming
        assert await one.claim("b") == "ours"
        assert await other.claim("a") == "ours"


CLAIMS_AND_STAYS = """
import asyncio, sys, time
from stillhouse.store import open_store
store = open_store(sys.argv[1])
async def main():
    print(await store.claim("a"), flush=True)
asyncio.run(main())
time.sleep(600)
"""


@pytest.fixture
def claimant(url):
    """Another process, which has claimed the call "a"."""
    process = subprocess.Popen([sys.executable, "-c", CLAIMS_AND_STAYS, url], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "ours\n"
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


async def test_the_claims_of_a_process_that_was_killed_are_free_at_once(url, claimant):
    with open_store(url) as store:
        assert await store.claim("a") == "theirs"
        claimant.kill()
        claimant.wait()
        for _ in range(100):  # a server takes a moment to see that the connection is gone
            if not store.claimed(["a"]):
                break
            await asyncio.sleep(0.02)
        assert rows(url, "SELECT COUNT(*) FROM claims") == [(1,)]
        assert store.claimed(["a"]) == []
        assert await store.claim("a") == "ours"


def silence(url, seconds):
    """As if no owner had been heard of since so many seconds, by the clock of the database."""
    execute(url, f"UPDATE claimants SET seen = seen - {seconds}")


def execute(url, change):
    if not url.startswith("postgresql://"):
        with contextlib.closing(sqlite3.connect(url)) as connection:
            connection.execute(change)
            connection.commit()
        return
    import psycopg

    with psycopg.connect(url, options="-c search_path=stillhouse") as connection:
        connection.execute(change)


def set_ahead(store):
    """The clock by which the store measures how long others are silent, to be set ahead: [seconds]."""
    ahead = [0.0]
    store._claims.silence = claims.Silence(lambda: ahead[0] + time.monotonic())
    return ahead


@pytest.mark.parametrize("seconds", [31, 3600, 400_000, -7200])
async def test_no_clock_that_is_set_takes_a_claim_from_a_live_owner(url, seconds):
    """Forward by a minute, an hour, days, or back by hours: whoever looks, waits or starts then, nothing is paid twice."""
    with open_store(url) as one, open_store(url) as other:
        assert await one.claim("a") == "ours"
        silence(url, seconds)
        assert [row.held() for row in other.claimed(["a"])] == ["process"]
        assert await other.claim("a") == await other.claim("a") == "theirs"
        with open_store(url) as new:  # and clears away
            assert await new.claim("b") == "ours"
            assert await new.claim("a") == "theirs"
        assert ("a", one._claims.owner) in rows(url, "SELECT request_hash, owner FROM claims")
        assert (one._claims.owner,) in rows(url, "SELECT owner FROM claimants")


async def test_the_claim_of_a_paused_owner_is_free_once_it_was_seen_to_be_silent_for_half_a_minute(url, claimant):
    claimant.send_signal(signal.SIGSTOP)
    with open_store(url) as other:
        ahead = set_ahead(other)
        assert await other.claim("a") == "theirs"
        ahead[0] = 25
        assert len(other.claimed(["a"])) == 1
        assert await other.claim("a") == "theirs"
        ahead[0] = 31
        assert other.claimed(["a"]) == []
        assert [row.fell_silent for row in other.claims_on(["a"])] == [True]
        assert await other.claim("a") == "ours"


@pytest.mark.parametrize("set_by", [-7200, 0, 7200])
async def test_whatever_the_clock_an_owner_is_silent_from_when_it_was_looked_at(url, set_by):
    with open_store(url) as one, open_store(url) as other:
        ahead = set_ahead(other)
        assert await one.claim("a") == "ours"
        silence(url, set_by)
        assert await other.claim("a") == "theirs"
        ahead[0] += 29
        assert await other.claim("a") == "theirs"
        silence(url, -1)  # a heartbeat
        ahead[0] += 2
        assert await other.claim("a") == "theirs"
        ahead[0] += 31
        assert await other.claim("a") == "ours"


async def test_an_owner_that_starts_clears_away_what_dead_ones_left(url, tmp_path):
    """What lives, what was just silent, and what stands in a batch stays."""
    listed = tmp_path / "batches.json"
    listed.write_text("[]")
    with open_store(url) as alive, open_store(url) as dead:
        assert await alive.claim("a") == "ours"
        assert await dead.claim("b") == await dead.claim("c", batch=claims.batch_of(listed)) == "ours"
        gone = claims.host_of(dead._claims.owner) + ":1:dead"
        for table in ("claims", "claimants"):
            execute(url, f"UPDATE {table} SET owner = '{gone}' WHERE owner = '{dead._claims.owner}'")
        with open_store(url) as new:
            assert await new.claim("d") == "ours"
            assert sorted(rows(url, "SELECT request_hash, owner FROM claims")) == [
                ("a", alive._claims.owner),
                ("c", gone),
                ("d", new._claims.owner),
            ]
            assert (gone,) in rows(url, "SELECT owner FROM claimants")
        listed.unlink()
        with open_store(url) as new:
            assert await new.claim("d") == "ours"
            assert {owner for (owner,) in rows(url, "SELECT owner FROM claimants")} == {
                alive._claims.owner,
                new._claims.owner,
            }
            assert {hash_ for (hash_,) in rows(url, "SELECT request_hash FROM claims")} == {"a", "d"}


async def test_a_claim_that_was_lost_costs_no_answer(url):
    with open_store(url) as paused, open_store(url) as other:
        ahead = set_ahead(other)
        assert await paused.claim("a") == "ours"
        assert await other.claim("a") == "theirs"
        ahead[0] = 31
        assert await other.claim("a") == "ours"
        await other.put(completion("a", "the other's"))
        await paused.put(completion("a", "the paused one's"))
        assert paused.get("a").response["text"] == "the other's"
        assert paused.count() == 1
    assert rows(url, "SELECT * FROM claims") == []


async def test_a_live_owner_is_heard_of_as_long_as_it_has_claims(url, monkeypatch):
    monkeypatch.setattr(completions, "BEAT_S", 0.01)
    monkeypatch.setattr(claims, "BEAT_S", 0.01)

    async def heard_since(silent_s):
        for _ in range(500):
            [(seen,)] = rows(url, "SELECT seen FROM claimants")
            if seen > time.time() - silent_s:
                return True
            await asyncio.sleep(0.01)
        return False

    with open_store(url) as one:
        assert await one.claim("a") == "ours"
        silence(url, 900)
        assert await heard_since(450)
        await one.put(completion("a"))
        silence(url, 900)
        await asyncio.sleep(0.05)
        assert rows(url, "SELECT COUNT(*) FROM claims") == [(0,)]


async def test_a_batch_keeps_its_claims_when_its_sender_is_gone(url, tmp_path):
    listed = tmp_path / "batches.json"
    batch = claims.batch_of(listed)
    with open_store(url) as sender:
        assert await asyncio.gather(*(sender.claim(hash_, batch=batch) for hash_ in "ab")) == ["ours", "ours"]
        listed.write_text("[]")
    with open_store(url) as other:
        assert [row.held() for row in other.claimed(["a", "b"])] == ["batch", "batch"]
        assert await other.claim("a") == "theirs"
        assert await other.claim("a", batch=claims.batch_of(tmp_path / "another.json")) == "theirs"
        assert await other.claim("a", batch=batch) == "ours"  # whoever goes on with the batch
        await other.put(completion("a"))
        assert await other.claim("b") == "theirs"
        listed.unlink()
        assert other.claimed(["b"]) == []
        assert await other.claim("b") == "ours"


# The journal


@pytest.fixture
def journal(url):
    with contextlib.closing(open_journal(url)) as opened:
        yield opened


def step(name="a", nth=0, output='"yes"', *, error=None, started=1.0, arguments="{}", **more):
    more = {"parent": None, "version": "v1", "facts": None} | more
    return StepRow(
        key=(name, "0" * 64, nth),
        kind="step",
        arguments=arguments,
        output=output,
        error=error,
        started=started,
        seconds=0.5,
        attempts=1,
        **more,
    )


def test_a_run_is_begun_ended_and_begun_again(journal):
    with journal.own("r"):
        begun = journal.begin("r", "main", '{"n":1}', {"models": {"a": "m"}, "app": None})
        assert (begun.run, begun.flow, begun.input, begun.status, begun.result, begun.ended) == (
            "r",
            "main",
            '{"n":1}',
            "running",
            None,
            None,
        )
        assert begun.facts == {"models": {"a": "m"}, "app": None}
        journal.end("r", "failed", error="OSError: closed")
        failed = journal.run("r")
        assert (failed.status, failed.error, failed.ended is not None) == ("failed", "OSError: closed", True)
        journal.begin("r", "main", '{"n":1}', {})
        assert (journal.run("r").status, journal.run("r").error, journal.run("r").facts) == ("running", None, {})
        journal.end("r", "done", result='{"x":1}')
        assert journal.begin("r", "main", '{"n":1}', {"late": 1}).status == "done"
        done = journal.run("r")
        assert (done.status, done.result, done.facts, done.created == begun.created) == ("done", '{"x":1}', {}, True)
    assert journal.run("other") is None


def test_a_run_id_belongs_to_one_flow_and_one_input(journal):
    with journal.own("r"):
        journal.begin("r", "main", '{"n":1}', {})
        with pytest.raises(UserError, match=r'with the input \{"n":1\}'):
            journal.begin("r", "main", '{"n":2}', {})
        with pytest.raises(UserError, match="with the flow main"):
            journal.begin("r", "other", '{"n":1}', {})


async def test_steps_come_back_by_key_and_as_a_trace_in_the_order_in_which_they_began(journal):
    first = step("a", started=2.0)
    facts = {"model": "m", "cost_usd": None, "requests": ["h"]}
    second = step("a", nth=1, started=1.0, parent=key_id(first.key), facts=facts, place=3, ended_nth=7)
    failed = step("b", output=None, error="OSError: gone", started=3.0)
    with journal.own("r"):
        journal.begin("r", "main", "{}", {})
        assert journal.finished("r") == {}
        journal.write("r", first)
        await journal.write_later("r", second)
        journal.write("r", failed)
        assert journal.steps("r") == [second, first, failed]
        found = journal.finished("r")
        assert set(found) == {first.key, second.key}
        assert found[first.key] == ("v1", '"yes"', None, None, None, None)
        assert json.loads(found[second.key][3] or "null") == second.facts
        assert found[second.key][2] == key_id(first.key)
        assert found[second.key][4:] == (3, 7)
    assert [(row.run, n) for row, n in journal.runs()] == [("r", 2)]
    assert journal.steps("other") == []


async def test_a_later_row_under_the_same_key_replaces_the_earlier(journal):
    with journal.own("r"):
        journal.begin("r", "main", "{}", {})
        journal.write("r", step(output=None, error="OSError: gone"))
        assert journal.finished("r") == {}
        await journal.write_later("r", step(output="1", version="v2", facts={"n": 1}))
        assert journal.steps("r") == [step(output="1", version="v2", facts={"n": 1})]


async def test_what_is_asked_anew_loses_its_number_among_ends_and_nothing_else(journal):
    failed = step("b", output=None, error="OSError: gone", place=0, ended_nth=0)
    answered, other = step("b", nth=1, place=1, ended_nth=1), step("c", output=None, error="OSError", ended_nth=2)
    with journal.own("r"):
        journal.begin("r", "main", "{}", {})
        journal.write("r", failed)
        await journal.write_later("r", answered)
        journal.write("r", other)
        journal.ask_anew("r", [])
        journal.ask_anew("r", [failed.key, answered.key])
        assert {row.key: row.ended_nth for row in journal.steps("r")} == {
            failed.key: None,
            answered.key: None,
            other.key: 2,
        }
        assert journal.failed("r")[failed.key][4:] == (None, 0, None)


async def test_a_fan_out_is_committed_when_it_returns(url, journal):
    with journal.own("r"), journal.own("s"), contextlib.closing(open_journal(url)) as reader:
        for run in ("r", "s"):
            journal.begin(run, "main", "{}", {})
        await asyncio.gather(
            *(journal.write_later(run, step(nth=n, output=str(n))) for n in range(300) for run in ("r", "s"))
        )
        assert {key[2]: row[1] for key, row in reader.finished("s").items()} == {n: str(n) for n in range(300)}
        assert len(reader.finished("r")) == 300


async def test_a_long_text_is_stored_once_however_often_it_is_passed_on(url, journal):
    large = json.dumps("x" * 8_000_000)
    with journal.own("r"):
        journal.begin("r", "main", "{}", {})
        await asyncio.gather(*(journal.write_later("r", step(nth=n, output=large)) for n in range(3)))
        journal.write("r", step("b", arguments=large, output="1", started=9.0))
        journal.end("r", "done", result=large)
        assert rows(url, "SELECT COUNT(*), SUM(LENGTH(text)) FROM texts") == [(1, 8_000_002)]
        assert {journal.text(row[1]) == large for key, row in journal.finished("r").items() if key[0] == "a"} == {True}
        assert journal.steps("r")[-1].arguments == large
        assert journal.text(journal.run("r").result) == large


@pytest.mark.parametrize("text", ["naïve 漢字 🙂", "a\x00b", "\"'$1 %s ?", "text:abc"])
async def test_any_text_of_a_step_comes_back_as_it_was(journal, text):
    """What a step takes and returns is JSON, which writes U+0000 as an escape; an error is plain text, and shows it as a sign."""
    written = step(
        arguments=json.dumps({"t": text}), output=json.dumps(text, ensure_ascii=False), facts={"failures": [text]}
    )
    with journal.own("r"):
        journal.begin("r", "main", json.dumps(text), {"app": text})
        await journal.write_later("r", written)
        journal.write("r", step("b", output=None, error=text, started=2.0))
        journal.end("r", "failed", error=text)
    assert journal.steps("r")[0] == written
    assert journal.steps("r")[1].error == journal.run("r").error == text.replace("\x00", "␀")
    assert journal.run("r").facts == {"app": text}


def test_half_a_surrogate_pair_in_an_error_does_not_hide_the_error(journal):
    with journal.own("r"):
        journal.begin("r", "main", "{}", {})
        journal.write("r", step(output=None, error="no file \udcff", facts={"failures": ["no file \udcff"]}))
        assert journal.steps("r")[0].error == "no file \\udcff"
        assert journal.steps("r")[0].facts == {"failures": ["no file \udcff"]}


def test_a_live_run_is_refused_with_its_owner_named_and_is_free_when_it_is_given_back(url, journal):
    with contextlib.closing(open_journal(url)) as other:
        with journal.own("r"):
            for second in (other, journal):
                with (
                    pytest.raises(RunBusyError, match=f"the run r is in use by process {os.getpid()}"),
                    second.own("r"),
                ):
                    pass
            with other.own("s"):
                pass
        with other.own("r"), pytest.raises(RunBusyError), journal.own("r"):
            pass


def test_runs_are_listed_newest_first(url):
    from stillhouse.store.postgres_journal import PostgresJournal
    from stillhouse.store.sqlite_journal import SqliteJournal

    times = iter([5.0, 7.0])
    here = (
        PostgresJournal(url, clock=lambda: next(times))
        if url.startswith("postgresql://")
        else SqliteJournal(Path(url), clock=lambda: next(times))
    )
    with contextlib.closing(here) as journal:
        for run in ("first", "second"):
            with journal.own(run):
                journal.begin(run, "main", "{}", {})
        assert [(row.run, row.created) for row, _ in journal.runs()] == [("second", 7.0), ("first", 5.0)]
