"""Tools of a small agent, for tests that replay its calls."""

import time

PRICES = {"apple": 0.5, "pear": 0.75}


def price(fruit: str) -> dict[str, object]:
    """What a fruit costs."""
    print("looking it up")  # what a tool prints is no part of what it gives
    return {"fruit": fruit, "price": PRICES[fruit]}


def add(a: float, b: float) -> float:
    """The sum."""
    return a + b


def wait(seconds: float) -> str:
    """Come back late."""
    time.sleep(seconds)
    return "done"


def offline() -> str:
    """A service that is not there."""
    raise ConnectionError("no route")


def leave() -> None:
    """A tool that wants to end the process."""
    raise SystemExit(3)
