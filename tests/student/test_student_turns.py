"""The lock of turns: whoever asked first comes first."""

import threading
import time

from stillhouse.student.turns import Turns


def test_turns_are_given_in_the_order_in_which_they_were_asked_for():
    turns, order, threads = Turns(), [], []

    def take(name):
        with turns:
            order.append(name)

    with turns:
        for number, name in enumerate("abc"):
            threads.append(threading.Thread(target=take, args=(name,)))
            threads[-1].start()
            while len(turns._waiting) <= number:
                time.sleep(0.001)
    with turns:  # asked for after the others, and so given after them, also to the thread that had the turn
        order.append("again")
    for thread in threads:
        thread.join()
    assert order == ["a", "b", "c", "again"]


def test_a_turn_that_ends_in_an_error_is_given_back():
    turns = Turns()
    for _ in range(2):
        try:
            with turns:
                raise ValueError
        except ValueError:
            pass
    assert not turns._taken
