"""What a command's calls will cost is told by the pieces of its work that are done."""

import asyncio

from stillhouse.flow.allowance import Allowance, allowing, piece_of_work
from stillhouse.llm.pilot import N_PILOT
from stillhouse.llm.prices import Price
from stillhouse.llm.request import Request
from stillhouse.settings import ModelSettings

PRICE = Price(1.0, 1.0, "given")
REQUEST = Request(model="m", messages=({"role": "user", "content": "x"},))


class Agrees:
    def __init__(self):
        self.quotes = []

    def before(self, quote):
        pass

    def after(self, quote):
        self.quotes.append(quote)


async def test_calls_of_pieces_that_are_not_done_yet_count_for_none_of_the_work():
    """Twenty of forty pieces have paid for one call each, and ten of them are done: there will be 40 calls, not 80."""
    consent, n_done, n_pieces = Agrees(), 0, 2 * N_PILOT
    settings = ModelSettings(price_in=1.0, price_out=1.0)
    allowance = Allowance(settings, consent, n_least=1, share_done=lambda: n_done / n_pieces)
    go_on = asyncio.Event()

    async def piece(number):
        nonlocal n_done
        with piece_of_work():
            reserved = await allowance.reserve(REQUEST, PRICE)
            await asyncio.sleep(0)
            await allowance.settle(reserved, 0.001, paid=True)
            if number >= N_PILOT // 2:
                await go_on.wait()
        n_done += 1

    with allowing(allowance):
        pilot = [asyncio.ensure_future(piece(number)) for number in range(N_PILOT)]
        for _ in range(100):  # until half of them are done
            await asyncio.sleep(0)
        assert n_done == N_PILOT // 2
        await allowance.reserve(REQUEST, PRICE)
        go_on.set()
        await asyncio.gather(*pilot)
    assert [quote.n for quote in consent.quotes] == [n_pieces]
