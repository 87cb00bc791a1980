"""Who may rate. Of a token the store knows its hash alone."""

from __future__ import annotations

from sqlalchemy import Connection, Row, bindparam, insert, select, update

from rung.core.errors import RungError
from rung.store.opening import now_ms
from rung.store.tables import people
from rung.store.values import MAX_NAME_CHARS, Person, Role

_BY_TOKEN = select(people).where(people.c.token_hash == bindparam("token_hash"))
"""Asked at every request, so built once."""


def add_person(connection: Connection, name: str, role: Role, token_hash: str | None) -> Person:
    """Make an account.

    Args:
        connection: One that may write.
        name: How others know the person.
        role: What the person may do.
        token_hash: Of the token to log in with; None for whoever needs none.

    Raises:
        RungError: The name is taken, empty or too long.
    """
    name = _checked(name)
    if person_named(connection, name) is not None:
        raise RungError(f"there is somebody called {name!r} already")
    _insert(connection, name, role, token_hash)
    return known_person(connection, name)


def imported_person(connection: Connection, name: str) -> Person:
    """Whoever rated under this name in a file; nobody can log in as them."""
    name = _checked(name)
    if person_named(connection, name) is None:
        _insert(connection, name, "import", None)
    return known_person(connection, name)


def renew_token(connection: Connection, name: str, token_hash: str) -> None:
    """Give a person a new token; the old one is worth nothing from now on.

    Raises:
        RungError: There is no such person, or it is known from a file only.
    """
    person = known_person(connection, name)
    if person.role == "import":
        raise RungError(f"{name!r} is known from a file only; add a person of another name")
    _set_token(connection, person, token_hash)


def remove_person(connection: Connection, name: str) -> None:
    """Take a person's token away; what they rated stays.

    Raises:
        RungError: There is no such person.
    """
    _set_token(connection, known_person(connection, name), None)


def person_with_token(connection: Connection, token_hash: str) -> Person | None:
    """Whose token has this hash; None where it is nobody's (any more)."""
    found = connection.execute(_BY_TOKEN, {"token_hash": token_hash}).first()
    return None if found is None else _person(found)


def person_named(connection: Connection, name: str) -> Person | None:
    """The person of this name; None where there is none."""
    found = connection.execute(select(people).where(people.c.name == name)).first()
    return None if found is None else _person(found)


def known_person(connection: Connection, name: str) -> Person:
    """The person of this name.

    Raises:
        RungError: There is none.
    """
    person = person_named(connection, name)
    if person is None:
        names = ", ".join(repr(one.name) for one in all_people(connection)) or "nobody"
        raise RungError(f"there is nobody called {name!r}; known are {names}")
    return person


def all_people(connection: Connection) -> list[Person]:
    """Everybody, in the order in which they came."""
    return [_person(row) for row in connection.execute(select(people).order_by(people.c.id))]


def _insert(connection: Connection, name: str, role: Role, token_hash: str | None) -> None:
    row = {"name": name, "role": role, "token_hash": token_hash, "added_ms": now_ms()}
    connection.execute(insert(people).values(row))


def _set_token(connection: Connection, person: Person, hashed: str | None) -> None:
    connection.execute(update(people).where(people.c.id == person.id).values(token_hash=hashed))


def _checked(name: str) -> str:
    name = name.strip()
    if not name or len(name) > MAX_NAME_CHARS or not name.isprintable():
        raise RungError(f"a name is 1 to {MAX_NAME_CHARS} printable characters, not {name!r}")
    return name


def _person(row: Row[tuple[object, ...]]) -> Person:
    return Person(row.id, row.name, row.role, row.token_hash is not None, row.added_ms)
