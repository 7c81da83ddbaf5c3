"""README.md and docs/: commands parse, options exist, links lead somewhere, keys are as the presets have them."""

import re
import shlex
from importlib import import_module
from pathlib import Path

import click
import pytest

from ballspot import cli
from ballspot.temporal.config.load import PLACES, load_config

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
NAMES = {page.relative_to(ROOT).as_posix(): page for page in PAGES}
FOREIGN_OPTIONS = {"--durations", "--help", "--logdir"}  # of pytest, click, TensorBoard
ON_PURPOSE = "## When something is wrong"  # from here on the walkthrough's commands are meant to fail


def code_lines(text):
    """The lines of fenced and indented code, continued lines joined; where a block has prompts, what follows them."""
    text = text.partition(ON_PURPOSE)[0].replace("\\\n", " ")
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    blocks += re.findall(r"((?:^ {4}\S.*\n)+)", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE), re.M)
    for block in blocks:
        lines = [line.strip() for line in block.splitlines()]
        typed = [line[2:] for line in lines if line.startswith("$ ")]
        yield from typed or lines


def commands_in(text):
    """The words of every ballspot command in a page's code."""
    for line in code_lines(text):
        for part in re.split(r"; | \| | && |^do ", line.replace("; do ", "; ")):
            if part.strip().startswith("ballspot "):
                words = shlex.split(part, comments=True)
                yield [word for word in words[1:] if word != "..."]


COMMANDS = [(name, words) for name, page in NAMES.items() for words in commands_in(page.read_text(encoding="utf-8"))]


def command_at(words):
    """The click command that the words name, and what is left of them."""
    command, rest = cli.main, list(words)
    while isinstance(command, click.Group):
        found = command.get_command(click.Context(command), rest.pop(0))
        assert found is not None, words
        command = found
    return command, rest


def test_commands_are_found_in_the_pages_that_have_them():
    of_page = {name: sum(one == name for one, _ in COMMANDS) for name in NAMES}
    assert of_page["README.md"] >= 12
    assert all(
        of_page[f"docs/guides/{name}.md"] for name in ("evaluation", "exports", "finetuning", "sharing", "sweeps")
    )


@pytest.mark.parametrize("page", sorted(path.name for path in (ROOT / "docs" / "guides").glob("*.md")))
def test_a_guide_is_short_and_begins_with_commands(page):
    text = (ROOT / "docs" / "guides" / page).read_text(encoding="utf-8")
    assert len(text.split()) <= 700
    assert re.match(r"# [^\n]+\n\n```sh\n", text)


def test_every_page_can_be_found_from_the_index():
    """The navigation of the site has every page, and the index or a page that it names leads to each."""
    listed = set(re.findall(r":? ([\w/-]+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE))
    assert listed == {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}


@pytest.mark.parametrize(("page", "words"), COMMANDS)
def test_a_command_in_a_page_parses(page, words):
    command, rest = command_at(words)
    context = command.make_context(words[0], rest)  # a usage error for what is unknown, missing or no choice
    settings = context.params.get("settings", ())
    if words[0] in ("train", "sweep"):
        load_config("best", [text for text in settings if not text.startswith("n_epochs")])
    elif words[0] == "finetune":
        import_module("ballspot.temporal.finetune.settings").read_settings("finetune", settings)


def options_of(command):
    if isinstance(command, click.Group):
        context = click.Context(command)
        below = (command.get_command(context, name) for name in command.list_commands(context))
        return set().union(*(options_of(one) for one in below))
    return {name for one in command.params for name in (*one.opts, *one.secondary_opts)}


@pytest.mark.parametrize("page", NAMES)
def test_an_option_that_a_page_names_exists(page):
    spans = re.findall(r"`([^`\n]+)`", NAMES[page].read_text(encoding="utf-8").partition(ON_PURPOSE)[0])
    named = {option for span in spans if "pip" not in span for option in re.findall(r"(?<!\S)--[a-z][a-z-]*", span)}
    of_benches = set(re.findall(r"--[a-z-]+", "".join(path.read_text() for path in (ROOT / "bench").glob("*.py"))))
    assert named - options_of(cli.main) - of_benches - FOREIGN_OPTIONS == set()


def test_the_table_of_commands_has_every_command():
    page = NAMES["README.md"].read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| `ballspot")]
    every = {*cli.COMMANDS, *cli.DATA, *cli.CACHE, *cli.HUB}
    listed = {name for name in every if any(re.search(rf"\b{name}\b", row.split("|")[1]) for row in rows)}
    assert listed == every


def anchor_of(heading):
    """The anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@pytest.mark.parametrize("page", NAMES)
def test_links_lead_to_files_and_headings_that_are_there(page):
    text = re.sub(r"```.*?```", "", NAMES[page].read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("https://", "http://")):
            continue
        path, _, anchor = target.partition("#")
        there = (NAMES[page].parent / path).resolve() if path else NAMES[page]
        assert there.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", there.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in map(anchor_of, headings), target


def test_pages_that_code_and_errors_name_are_there():
    folders = [ROOT / name for name in ("cache", "evaluate", "extract", "temporal")]
    sources = [path for folder in folders for path in folder.rglob("*.py")]
    named = {name for path in sources for name in re.findall(r"\bdocs/[\w/-]+\.md\b", path.read_text(encoding="utf-8"))}
    assert "docs/reference/configuration.md" in named
    assert [name for name in sorted(named) if not (ROOT / name).is_file()] == []


@pytest.mark.parametrize("key", PLACES)
def test_the_page_of_keys_says_what_the_preset_original_has(key):
    page = NAMES["docs/reference/configuration.md"].read_text(encoding="utf-8")
    (row,) = [line for line in page.splitlines() if line.startswith(f"| `{key}` |")]
    said = row.split("|")[5].strip()
    section, leaf = PLACES[key]
    value = getattr(getattr(load_config("original"), section), leaf)
    if said == "-":
        return  # it plays no part there
    if key == "views":
        assert (said, value) == ("original only", ("original",))
    elif isinstance(value, bool):
        assert said == str(value).lower()
    elif isinstance(value, (int, float)):
        assert float(said) == value
    else:
        assert said == str(list(value) if isinstance(value, tuple) else value)
