"""Writes `docs/compatibility.md`; `python -m compatibility` in the folder `scripts`."""

import sys

from compatibility import PAGE, current, page, table


def main() -> int:
    """Write the page, and say what is missing in it. The status is 1 when something is."""
    found = current()
    PAGE.write_text(page.render(found), encoding="utf-8")
    wrong = list(table.complaints(found))
    for complaint in wrong:
        print(complaint)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
