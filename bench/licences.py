"""Writes the table of docs/reference/licences.md: what each direct dependency's installed metadata says of its licence.

    python bench/licences.py            prints the table
    python bench/licences.py --write    puts it into docs/reference/licences.md
    python bench/licences.py --check    exit code 1 when the page lacks a dependency or tells another kind of licence

A package that is not installed keeps the row that the page has. Of FFmpeg and of encoders inside a package the table
says what they are under too: FFmpeg in its own words, read from the library itself.
"""

import argparse
import re
import sys
import tomllib
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "reference" / "licences.md"
BEGIN, END = "<!-- table: python bench/licences.py --write -->\n", "<!-- end of table -->\n"
HEAD = "| package | needed by | its licence | libraries inside | kind |\n|---|---|---|---|---|\n"
ENCODERS = {"libx264": "x264: GPL 2 or later", "libx265": "x265: GPL 2 or later"}
COPYLEFT = re.compile(r"\b(A?GPL|LGPL|MPL|EPL|CDDL|EUPL|Mozilla|General Public)", re.IGNORECASE)
NOT_TO_BE_PASSED_ON = "unredistributable"
KNOWN = (("Apache", "Apache-2.0"), ("BSD 3-Clause", "BSD-3-Clause"), ("BSD 2-Clause", "BSD-2-Clause"), ("MIT", "MIT"))


@dataclass(frozen=True)
class Row:
    """One line of the table; ``kind`` is permissive, copyleft, not to be passed on, or not stated."""

    package: str
    needed_by: str
    licence: str
    inside: str
    kind: str

    def line(self) -> str:
        return f"| {self.package} | {self.needed_by} | {self.licence} | {self.inside or '-'} | {self.kind} |\n"


def dependencies() -> dict[str, str]:
    """Every direct dependency with the extras that need it, or "core", as pyproject.toml lists them."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    groups = {"core": project["dependencies"], **project["optional-dependencies"]}
    needed: dict[str, list[str]] = {}
    for group, requirements in groups.items():
        for requirement in requirements:
            name = re.split(r"[\[<>=!~;\s]", requirement, maxsplit=1)[0]
            if name != "ballspot":
                needed.setdefault(name, []).append(group)
    return {name: ", ".join(groups) for name, groups in sorted(needed.items(), key=lambda one: one[0].lower())}


def stated_licence(distribution: metadata.Distribution) -> str:
    """The licence expression, else the classifiers, else the short field, else the licence file's first words."""
    about: Any = distribution.metadata  # typed without the `get` that it has
    expression = about.get("License-Expression")
    classifiers = [one.rpartition(" :: ")[2] for one in about.get_all("Classifier") or [] if one.startswith("License")]
    field = (about.get("License") or "").strip()
    if expression or classifiers:
        return expression or ", ".join(classifiers)
    if field and field != "UNKNOWN" and "\n" not in field:
        return field
    for file in distribution.files or []:
        if ".dist-info" in str(file) and re.match(r"(?i)(licen[cs]e|copying)", file.name):
            text = Path(str(file.locate())).read_text(encoding="utf-8", errors="replace")[:1000]
            return next((f"{name} (its file)" for words, name in KNOWN if words in text), "")
    return ""


def libraries_inside(distribution: metadata.Distribution) -> str:
    """What FFmpeg's libraries say of themselves, and the encoders whose licence binds who passes the package on."""
    found = set()
    for file in distribution.files or []:
        if file.name.startswith(("libavcodec", "avcodec")):
            said = re.search(rb"libavcodec license: ([^\0]+)", Path(str(file.locate())).read_bytes())
            found.add(f"FFmpeg: {said[1].decode() if said else 'says nothing'}")
        found |= {text for name, text in ENCODERS.items() if file.name.startswith(name)}
    return "; ".join(sorted(found))


def kind_of(licence: str, inside: str) -> str:
    """What a user has to know first of a package."""
    if NOT_TO_BE_PASSED_ON in inside:
        return "not to be passed on"
    if COPYLEFT.search(f"{licence} {inside}"):
        return "copyleft"
    return "permissive" if licence else "not stated"


def installed_row(package: str, needed_by: str) -> Row | None:
    """The row of an installed package; None for one that is not."""
    try:
        distribution = metadata.distribution(package)
    except metadata.PackageNotFoundError:
        return None
    licence, inside = stated_licence(distribution), libraries_inside(distribution)
    return Row(package, needed_by, licence or "not stated", inside, kind_of(licence, inside))


def page_rows(page: str) -> dict[str, Row]:
    """The rows of the page's table, by package."""
    body = page.partition(BEGIN)[2].partition(END)[0].removeprefix(HEAD)
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in body.splitlines()]
    return {row[0]: Row(row[0], row[1], row[2], "" if row[3] == "-" else row[3], row[4]) for row in cells}


def complaints(page: str) -> list[str]:
    """What the page lacks, has too much, or tells otherwise than the installed packages do."""
    rows, needed = page_rows(page), dependencies()
    found = [f"{name}: not in pyproject.toml any more" for name in rows if name not in needed]
    for name, needed_by in needed.items():
        actual = installed_row(name, needed_by)
        if name not in rows:
            found.append(f"{name}: not in the table")
        elif rows[name].needed_by != needed_by:
            found.append(f"{name}: needed by {needed_by}, the table says {rows[name].needed_by}")
        elif actual is not None and rows[name].kind != actual.kind:
            found.append(f"{name}: {actual.kind} ({actual.licence}; {actual.inside}), the table says {rows[name].kind}")
    return found


def table(page: str) -> str:
    """The table as the installed packages have it."""
    known = page_rows(page)
    rows = []
    for name, needed_by in dependencies().items():
        row = installed_row(name, needed_by) or known.get(name)
        rows.append(row or Row(name, needed_by, "not installed here", "", "not stated"))
    return HEAD + "".join(row.line() for row in rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="put the table into docs/reference/licences.md")
    parser.add_argument("--check", action="store_true", help="compare that page with what is installed")
    options = parser.parse_args()
    page = PAGE.read_text(encoding="utf-8")
    if options.check:
        found = complaints(page)
        print("\n".join(found) or f"{len(page_rows(page))} rows agree with pyproject.toml and what is installed")
        sys.exit(bool(found))
    if options.write:
        before, _, rest = page.partition(BEGIN)
        PAGE.write_text(before + BEGIN + table(page) + END + rest.partition(END)[2], encoding="utf-8")
    else:
        print(table(page), end="")


if __name__ == "__main__":
    main()
