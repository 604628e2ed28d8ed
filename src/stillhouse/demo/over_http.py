"""Questions put to the served students over HTTP, as the shop's app would put them."""

from collections.abc import Mapping
from dataclasses import dataclass

import aiohttp


@dataclass(frozen=True)
class Answered:
    """One question put to the running server."""

    question: str
    route: str
    answer: str | None  # the SQL query, where the question is one for the database


async def ask_app(urls: Mapping[str, str], question: str) -> Answered:
    """Ask `route` what answers the question and, where that is the database, `to_sql` for the query.

    `urls`: the base URL of each step's server; `to_sql` may lack one.
    """
    route = await _ask(urls["route"], "route", question)
    query = await _ask(urls["to_sql"], "to_sql", question) if route == "sql" and "to_sql" in urls else None
    return Answered(question, route, query)


async def _ask(base_url: str, model: str, question: str) -> str:
    async with aiohttp.ClientSession() as session:
        body = {"model": model, "messages": [{"role": "user", "content": question}]}
        async with session.post(f"{base_url}/chat/completions", json=body) as response:
            reply = await response.json()
            if response.status != 200:
                return f"no answer ({reply['error']['message']})"
            return str(reply["choices"][0]["message"]["content"])
