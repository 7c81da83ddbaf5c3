"""The hook of the site: pages from outside of docs/ and the links to them. The site itself is made by `make docs`."""

import importlib.util
from pathlib import Path
from types import SimpleNamespace

import ballspot

ROOT = Path(ballspot.__file__).parent
SPEC = importlib.util.spec_from_file_location("site_pages", ROOT / "bench" / "site_pages.py")
assert SPEC and SPEC.loader
site_pages = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(site_pages)


def test_links_that_leave_the_pages_lead_to_what_the_site_has_instead() -> None:
    page = SimpleNamespace(file=SimpleNamespace(src_uri="contributing/index.md"))
    text = "[a](../../CONTRIBUTING.md#style) [b](architecture.md) [c](../../examples/heads.py) [d](https://x.y/z)"
    there = site_pages.on_page_markdown(text, page, None, None)
    assert there == "[a](contributing.md#style) [b](architecture.md) [c](../examples.md) [d](https://x.y/z)"


def test_the_readme_keeps_its_pictures_and_pages_in_the_site() -> None:
    text = "![p](docs/pictures/view.png) [g](docs/guides/install.md) [c](CHANGELOG.md) [e](examples)"
    moved = site_pages._moved(text, "README.md", "readme.md")
    assert moved == "![p](pictures/view.png) [g](guides/install.md) [c](changelog.md) [e](examples.md)"


def test_the_examples_page_shows_every_script_and_sweep() -> None:
    text = site_pages._examples()
    for path in (ROOT / "examples").iterdir():
        assert (f"## {path.name}\n" in text) == (path.suffix in (".py", ".toml"))
    assert "class Conv(nn.Module)" in text


def test_a_bar_that_is_escaped_for_a_table_is_shown_alone_in_code():
    page = SimpleNamespace(file=SimpleNamespace(src_uri="guides/x.md"))
    text = "| `view RUN\\|PREDICTIONS\\|SWEEP` | a \\| b |"
    assert site_pages.on_page_markdown(text, page, None, None) == "| `view RUN|PREDICTIONS|SWEEP` | a \\| b |"
