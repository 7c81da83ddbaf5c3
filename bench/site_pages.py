"""A hook of MkDocs: pages and examples that stand outside of docs/ become part of the site that `make docs` renders."""

import posixpath
import re
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PAGES = {  # where a file of the checkout stands in the site
    "README.md": "readme.md",
    "CONTRIBUTING.md": "contributing/contributing.md",
    "CHANGELOG.md": "changelog.md",
    "examples": "examples.md",
}
NOT_SEARCHED = "---\nsearch:\n  exclude: true\n---\n\n"  # it names everything, and would come first
PIPE = re.compile(r"`[^`\n]*\\\|[^`\n]*`")  # GitHub wants `a\|b` in tables; MkDocs would show the backslash
LINK = re.compile(r"\]\(([^)\s#]+)(#[^)\s]*)?\)")


def on_files(files: Any, config: Any) -> Any:
    """Adds the pages of the checkout's root, and one that shows the examples."""
    mkdocs = import_module("mkdocs.structure.files")  # the environment of the site has it, that of the tests does not
    for name, place in PAGES.items():
        text = _examples() if name == "examples" else (ROOT / name).read_text(encoding="utf-8")
        content = (NOT_SEARCHED if name == "CHANGELOG.md" else "") + _moved(text, name, place)
        files.append(mkdocs.File.generated(config, place, content=content, inclusion=mkdocs.InclusionLevel.NOT_IN_NAV))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Links that leave docs/ lead to those pages."""
    place = page.file.src_uri
    return markdown if place in PAGES.values() else _moved(markdown, f"docs/{place}", place)


def _moved(text: str, name: str, place: str) -> str:
    """The text of file ``name`` of the checkout with links and code as they must be at ``place`` in the site."""

    def link(found: re.Match[str]) -> str:
        target, anchor = found.group(1), found.group(2) or ""
        if re.match(r"[a-z]+:", target):
            return found.group(0)
        path = posixpath.normpath(posixpath.join(posixpath.dirname(name), target))
        if path.split("/")[0] == "examples":
            path = "examples"
        there = PAGES.get(path, path.removeprefix("docs/"))
        return f"]({posixpath.relpath(there, posixpath.dirname(place) or '.')}{anchor})"

    return PIPE.sub(lambda found: found.group(0).replace("\\|", "|"), LINK.sub(link, text))


def _examples() -> str:
    """A page with every file of examples/ that is text and fits on one."""
    parts = ["# Examples\n\nThese files are in the folder `examples` of a checkout; tests run them.\n"]
    for path in sorted((ROOT / "examples").iterdir()):
        if path.suffix in (".py", ".toml"):
            language = {".py": "python", ".toml": "toml"}[path.suffix]
            parts.append(f"## {path.name}\n\n```{language}\n{path.read_text(encoding='utf-8')}```\n")
    return "\n".join(parts)
