"""`--store`: where paid replies are kept, as a file or as an address."""

import json

import pytest

from mood_task import MOOD
from stillhouse.store import open_store


@pytest.fixture
def project(tmp_path):
    (tmp_path / "task.toml").write_text(MOOD)
    (tmp_path / "rows.jsonl").write_text(
        "".join(json.dumps({"id": f"r{i}", "input": f"day {i} was good"}) + "\n" for i in range(5))
    )
    return tmp_path


def test_paid_replies_go_where_the_address_says(project, endpoint, stillhouse, postgres_url):
    for number, url in enumerate((f"sqlite:///{project}/a.db", postgres_url)):
        to = ("--teacher", endpoint.url(), "--store", url, "--out", project / f"{number}.jsonl", "--unpriced")
        assert stillhouse("label", project, *to).code == 0
        with open_store(url) as store:
            assert store.count() == 5
    assert endpoint.calls().total() == 10
    assert not (project / "stillhouse.db").exists()
    assert {path.name for path in project.iterdir() if path.is_dir()} == set()


def test_an_output_may_not_be_the_store_however_it_is_named(project, endpoint, stillhouse):
    (project / "a.db").touch()
    to = ("--teacher", endpoint.url(), "--store", f"sqlite:///{project}/a.db", "--out", project / "a.db", "--unpriced")
    ran = stillhouse("label", project, *to)
    assert ran.code == 2 and "is a file of the task and would be overwritten" in ran.err
    assert endpoint.calls().total() == 0


def test_a_store_of_an_unknown_kind_is_named_without_its_password(project, endpoint, stillhouse):
    ran = stillhouse("label", project, "--teacher", endpoint.url(), "--store", "mysql://u:s3cret@h/d", "--unpriced")
    assert ran.code == 2 and "unknown kind" in ran.err and "s3cret" not in ran.err
