"""Tables of Markdown, as the pages of the studies have them."""

from collections.abc import Iterable

__all__ = ["show"]


def show(tables: Iterable[tuple[str, Iterable[tuple]]]) -> None:
    """Print each table under its title; the first of its rows heads it."""
    for title, rows in tables:
        print(f"## {title}\n")
        for i, row in enumerate(rows):
            print(f"| {' | '.join(map(str, row))} |")
            if i == 0:
                print(f"|{'---|' * len(row)}")
        print()
