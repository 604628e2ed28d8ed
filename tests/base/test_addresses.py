"""No part of a password or key is shown, however the address was written."""

import logging

import pytest

from stillhouse import cli
from stillhouse.addresses import holds_secrets, unreadable_postgres, without_secrets
from stillhouse.errors import KeyMissingError, ModelNameError, StorageError, TaskFileError, UserError
from stillhouse.flow.call import error_line
from stillhouse.llm.endpoint_errors import reason
from stillhouse.llm.models import base_url_of, endpoint
from stillhouse.store import open_store
from stillhouse.store.address import sqlite_address
from stillhouse.task import load_task

S = "s3cr"
PASSWORDS = [f"{S}et", f"{S}@et", f"{S}/et", f"{S}#et", f"{S}?et", f"{S}:et", f"{S}@e@t", f"{S}%40et", f"{S} et"]


@pytest.mark.parametrize("password", PASSWORDS)
@pytest.mark.parametrize("scheme", ["postgresql", "http", "https", "mysql", "HTTP"])
def test_a_password_is_never_shown(scheme, password):
    tail = "#m" if "http" in scheme.lower() else ""
    shown = without_secrets(f"{scheme}://user:{password}@host:80/v1{tail}")
    assert S not in shown and "et" not in shown and "user" not in shown
    assert shown == f"{scheme}://host:80/v1{tail}"
    quoted = f"connection to {scheme}://user:{password}@host:80/v1{tail} failed"
    assert " " in password or S not in without_secrets(quoted)
    assert S not in without_secrets(f"{scheme}://user:{password}: names no model") or " " in password


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("host=h password=s3cret dbname=d", "host=h password=[hidden] dbname=d"),
        (r"host=h password = 's3c\'r et' dbname=d", "host=h password = '[hidden]' dbname=d"),
        ("sslpassword=s3cret user=u", "sslpassword=[hidden] user=u"),
        ("PGPASSWORD=s3cret psql", "PGPASSWORD=[hidden] psql"),
        ("postgres:/user:s3c@ret@host/db", "postgres:/host/db"),
        ("postgresql//u:s3cret@h", "postgresql//h"),
        ("postgresql:///u:s3cret@h/db", "postgresql:///h/db"),
        ("postgresql ://u:s3cret@h/db", "postgresql ://[hidden]@h/db"),
        ("postgresql;//u:s3cret@h/db", "postgresql;//[hidden]@h/db"),
        ("http//user:s3cret@host", "http//host"),
        ("htp://u:s3cret@h", "htp://h"),
        ("https:user:s3cret@host/v1#m", "[hidden]@host/v1#m"),
        ("  postgresql://u:s3cret@h/db", "  postgresql://h/db"),
        ("u:s3cret@h/db", "[hidden]@h/db"),
        ('connection to "postgresql://u:s3c ret@h/db" failed', 'connection to "postgresql://h/db" failed'),
        ('invalid dsn: missing "=" after "postgres:/u:s3cret@h"', 'invalid dsn: missing "=" after "postgres:/h"'),
        ('could not translate host name "s3cret@h"', 'could not translate host name "h"'),
        ("http//h/v1?key=s3cret", "http//h/v1?key=[hidden]"),
        ("https://h/v1;key=s3cret", "https://h/v1;key=[hidden]"),
        ("h/v1?access_token=s3cret&a=b", "h/v1?access_token=[hidden]"),
        ("token=s3cret sig=s3cret", "token=[hidden] sig=[hidden]"),
        ('{"password": "s3cret", "a": 1}', '{"password": "[hidden]", "a": 1}'),
        (r"body {\"password\": \"s3cret\", \"a\": 1}", r"body {\"password\": [hidden], \"a\": 1}"),
        ("STILLHOUSE_SERVE_KEY=s3cret", "STILLHOUSE_SERVE_KEY=[hidden]"),
        ("x-api-key: s3cretabcdef", "x-api-key: [hidden]"),
        ("Authorization: s3cretabcdef", "Authorization: [hidden]"),
        ("proxy-authorization: token s3cretabcdef", "proxy-authorization: [hidden]"),
        ("Cookie: session=s3cretabcdef; a=b", "Cookie: [hidden]; a=b"),
        ("Authorization: Bearer s3cretabcdefgh", "Authorization: Bearer [hidden]"),
    ],
)
def test_no_misspelt_address_and_no_setting_tells_a_secret(written, shown):
    assert without_secrets(written) == shown == without_secrets(shown)
    assert holds_secrets(written)


@pytest.mark.parametrize(
    "text", ["a:@", "a.b-", "password='", 'token\\\\"=\\\\"', "api-key: ", "a-", "//", "://x:y ", "x y@", "/:a", "'"]
)
def test_hiding_is_bounded_work(text):
    """What grows with the square of the text would take minutes here, and the suite would say so."""
    without_secrets(text * 100_000)


@pytest.mark.parametrize(
    "address", ["postgres:/u:s3cret@h/db", "postgresql//u:s3cret@h/db", "host=h password=s3cret", " u:s3cret@h/db"]
)
def test_a_misspelt_store_is_refused_and_becomes_no_file(address, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="unknown kind") as refused:
        open_store(address)
    assert "s3cret" not in str(refused.value) and not list(tmp_path.iterdir())


def test_errors_of_others_are_kept_and_told_without_their_secrets(stillhouse, tmp_path):
    error = OSError("cannot reach postgresql://u:s3cret@h/db")
    assert error_line(error) == "OSError: cannot reach postgresql://h/db"
    shown = reason(b'{"error": {"message": "no route to http://u:s3cret@proxy"}}', None)
    assert shown == "no route to http://proxy"
    ran = stillhouse("graph", tmp_path, "postgresql://u:s3cret@h/db", "more")
    assert ran.code == 2 and "s3cret" not in ran.out + ran.err, ran.err
    record = logging.LogRecord("x", logging.ERROR, "", 0, "at http://u:s3cret@h", None, None)
    assert cli._LogFormatter().format(record) == "at http://h"


@pytest.mark.parametrize("name", ["key", "api_key", "token", "api-key", "sig", "password", "anything"])
@pytest.mark.parametrize("form", ["http://h/v1?{}=s3cret#m", "http://h/v1?a=b&{}=s3cret", "http://h/v1#m?{}=s3cret"])
def test_no_value_of_a_query_is_shown(form, name):
    address = form.format(name)
    assert "s3cret" not in without_secrets(address) and name in without_secrets(address)
    assert holds_secrets(address)
    assert "s3cret" not in without_secrets("http://h/v1?s3cret#m")


@pytest.mark.parametrize(
    "text",
    [
        "http://127.0.0.1:8000/v1#qwen2.5:7b",
        "https://host/v1#publishers/anthropic/claude@20240101",
        "http://host:8000/v1#claude@2024",
        "http://[::1]:8000/v1#m",
        "http://127.0.0.1:8000: the endpoint refuses the key (401: who is me@example.com?)",
        "give postgresql://USER:PASSWORD@HOST:PORT/DATABASE or http(s)://host/v1#NAME",
        "postgresql://h1:5432,h2:5433/db?sslmode=require",
        "sqlite:///x.db?synchronous=full",
        "openai:gpt-4.1",
        "what? a=b & c@d",
    ],
)
def test_what_holds_no_secret_stays(text):
    assert without_secrets(text) == text


@pytest.mark.parametrize("password", [f"{S}@et", f"{S}/et", f"{S}#et", f"{S}?et"])
def test_a_password_that_nobody_can_read_is_refused(password):
    assert unreadable_postgres(f"postgresql://u:{password}@h/db")
    assert not unreadable_postgres("postgresql://u:s3cr%40et@h:5432/db?application_name=x")
    assert not unreadable_postgres("postgresql://h/db")


@pytest.mark.parametrize("address", ["http://u:s3cret@h/v1#m", "http://h/v1?key=s3cret#m", "https://u:s3@cret@h/v1"])
def test_a_teachers_address_with_a_key_is_refused_with_where_keys_go(address, monkeypatch, tmp_path):
    for ask in (endpoint, base_url_of):
        with pytest.raises(ModelNameError, match="STILLHOUSE_API_KEY") as refused:
            ask(address)
        assert "cret" not in str(refused.value) and "cret" not in repr(refused.value)
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    monkeypatch.setenv("OPENAI_BASE_URL", address.partition("#")[0])
    with pytest.raises(ModelNameError, match="OPENAI_BASE_URL") as refused:
        endpoint("openai:m")
    assert "cret" not in str(refused.value)
    (tmp_path / "task.toml").write_text(
        f'[task]\nname = "x"\ninstruction = "y"\noutput = "text"\n[teacher]\nmodel = "{address}"\n'
    )
    with pytest.raises(TaskFileError, match="STILLHOUSE_API_KEY") as refused:
        load_task(tmp_path)
    assert "cret" not in str(refused.value)


@pytest.mark.parametrize("kind", [UserError, StorageError, KeyMissingError])
def test_no_error_of_ours_tells_a_secret(kind):
    error = kind("the store postgresql://u:s3cret@h/db and http://h/v1?token=s3cret")
    assert "s3cret" not in f"{error} {error!r}"


@pytest.mark.parametrize("address", ["mysql://u:s3cr@et@h/db", "sqlite://u:s3cret@h", "ftp://h/db?password=s3cret"])
def test_a_store_of_an_unknown_kind_is_named_without_its_password(address):
    with pytest.raises(UserError) as refused:
        sqlite_address(address)
    assert "s3cr" not in str(refused.value) and "et@" not in str(refused.value)
