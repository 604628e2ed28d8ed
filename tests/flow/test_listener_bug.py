"""What a listener raises takes nothing away that was paid for."""

import pytest

from stillhouse import flow, step
from stillhouse.flow import listen
from stillhouse.store.journal import open_journal


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


async def test_the_reply_is_kept_and_not_paid_again_when_the_listener_is_mended(endpoint):
    broken = True

    @step
    async def reply(question: str) -> str:
        """Answer."""

    @flow(model=endpoint.url("stream"))
    async def main() -> str:
        def heard(name: str, piece: str) -> None:
            if broken:
                raise KeyError("a bug of the page")

        with listen(heard):
            return await reply("x")

    with pytest.raises(KeyError):
        await main.run("one")
    broken = False
    assert await main.run("one")
    assert sum(endpoint.calls().values()) == 1
    [row] = open_journal("stillhouse.db").steps("one")
    assert row.facts["from_store"] == 1
