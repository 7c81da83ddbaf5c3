"""The command line as a whole: lazy, documented, and polite about errors."""

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import click
import numpy as np
import pytest
import torch
from click.testing import CliRunner

from ballspot import cli
from ballspot.cache.errors import BallspotError
from ballspot.cache.terminal.help import GROUPS, REST

PLACES = {
    **{name: place for name, place in cli.COMMANDS.items()},
    **{f"data {name}": place for name, place in cli.DATA.items()},
    **{f"cache {name}": place for name, place in cli.CACHE.items()},
    **{f"hub {name}": place for name, place in cli.HUB.items()},
}


def command_of(name: str) -> click.Command:
    module, attribute, _ = PLACES[name]
    return getattr(import_module(f"ballspot.{module}"), attribute)


@pytest.mark.parametrize("name", PLACES)
def test_a_command_has_the_summary_that_the_list_shows_and_an_example(name):
    command = command_of(name)
    assert command.help is not None
    assert command.help.splitlines()[0] == PLACES[name][2]
    assert f"ballspot {name}" in command.help


@pytest.mark.parametrize("name", PLACES)
def test_every_option_of_a_command_has_help(name):
    command = command_of(name)
    options = [parameter for parameter in command.params if isinstance(parameter, click.Option)]
    assert [option.name for option in options if not option.help] == []


@pytest.mark.parametrize("name", PLACES)
def test_help_of_a_command_exits_with_zero(name):
    result = CliRunner().invoke(cli.main, [*name.split(), "--help"])
    assert result.exit_code == 0, result.output


def test_listing_commands_imports_no_heavy_package():
    code = (
        "import sys\n"
        "from click.testing import CliRunner\n"
        "from ballspot.cli import main\n"
        "result = CliRunner().invoke(main, ['--help'])\n"
        "heavy = {'torch', 'numpy', 'h5py', 'timm', 'av', 'decord', 'pydantic', 'rich', 'scipy'} & set(sys.modules)\n"
        "sys.exit(f'{result.exit_code} {heavy}' if result.exit_code or heavy else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_help_of_a_command_imports_no_torch():
    """One process for all commands: what the first that imports it says ends it."""
    code = (
        "import sys\n"
        "from click.testing import CliRunner\n"
        "from ballspot.cli import main\n"
        f"for name in {[*PLACES]!r}:\n"
        "    assert CliRunner().invoke(main, [*name.split(), '--help']).exit_code == 0, name\n"
        "    if 'torch' in sys.modules:\n"
        "        sys.exit(name)\n"
        "    print(name)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"ballspot {done.stderr}"
    assert done.stdout.splitlines() == [*PLACES]


def test_an_error_that_a_user_causes_is_one_line_and_exit_code_one():
    @click.group(cls=cli.LazyGroup, table={})
    def group() -> None:
        pass

    @group.command()
    def fail() -> None:
        raise BallspotError("here: 3 is not 4; write 4")

    result = CliRunner().invoke(group, ["fail"])
    assert (result.exit_code, result.output) == (1, "Error: here: 3 is not 4; write 4\n")


@pytest.mark.parametrize(
    ("name", "said"),
    [("extract", "interrupted; run the same command to go on"), ("evaluate", "interrupted; no file is half-written")],
)
def test_ctrl_c_ends_with_what_to_do_and_the_exit_code_of_its_signal(name: str, said: str):
    @click.group(cls=cli.LazyGroup, table={})
    def group() -> None:
        pass

    @group.command(name)
    def stopped() -> None:
        raise KeyboardInterrupt

    result = CliRunner().invoke(group, [name])
    assert (result.exit_code, result.output) == (130, f"Error: {said}\n")


def test_the_list_shows_every_command_once_in_its_section():
    named = [name for names in cli.SECTIONS.values() for name in names]
    assert sorted(named) == sorted([*cli.COMMANDS, *cli.main.commands])


@pytest.mark.parametrize("name", PLACES)
def test_help_has_examples_before_groups_and_no_range_without_bounds(name):
    text = CliRunner().invoke(cli.main, [*name.split(), "--help"], prog_name="ballspot").output
    titles = [line[:-1] for line in text.splitlines() if line.endswith(":") and not line.startswith(" ")]
    assert titles[0] == "Examples"
    assert set(titles[1:]) <= {*GROUPS, REST} or titles[1:] == ["Options"]
    assert "None" not in text and "\b" not in text
    options = {flag for one in command_of(name).params if isinstance(one, click.Option) for flag in one.opts[:1]}
    assert all(flag in text for flag in options)


@pytest.mark.parametrize("what", ["numpy", "torch", "a fault of ours"])
def test_memory_that_is_not_there_is_one_line_and_a_fault_of_ours_is_not_hidden(what: str):
    @click.group(cls=cli.LazyGroup, table={})
    def group() -> None:
        pass

    @group.command()
    def fail() -> None:
        if what == "numpy":
            np.empty(2**62, dtype=np.int8)
        if what == "torch":
            torch.empty(2**62, dtype=torch.int8)
        torch.zeros(2) + torch.zeros(3)

    result = CliRunner().invoke(group, ["fail"])
    if what == "a fault of ours":
        assert isinstance(result.exception, RuntimeError)
        return
    assert result.exit_code == 1 and result.output.startswith("Error: out of memory (")
    assert result.output.count("\n") == 1 and "batch_clips" in result.output


@pytest.mark.parametrize(
    ("name", "option"),
    [
        ("export", "--before"),
        ("export", "--after"),
        ("export", "--threshold"),
        ("clips", "--before"),
        ("clips", "--after"),
        ("clips", "--threshold"),
        ("data convert", "--fps"),
        ("data synth", "--minutes"),
        ("predict", "--warm-up"),
        ("predict", "--threshold"),
        ("tune", "--rows-per-second"),
    ],
)
@pytest.mark.parametrize("number", ["nan", "inf"])
def test_a_number_that_is_not_finite_is_a_usage_error(name: str, option: str, number: str):
    result = CliRunner().invoke(cli.main, [*name.split(), option, number])
    assert result.exit_code == 2
    assert f"Invalid value for '{option}': {number} is not" in result.stderr


def test_an_unknown_command_is_a_usage_error():
    assert CliRunner().invoke(cli.main, ["extrct"]).exit_code == 2


LARGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")
HUGE_PAGES = """
import re
from pathlib import Path
from ballspot import cli
cli.main.get_command(None, "train")
import torch
numbers = torch.ones(2**25)
middle = numbers.data_ptr() + 2**26
for mapping in re.split(r"(?m)^(?=[0-9a-f]+-[0-9a-f]+ )", Path("/proc/self/smaps").read_text())[1:]:
    start, end = (int(one, 16) for one in mapping.split()[0].split("-"))
    if start <= middle < end:
        print("hg" in re.search(r"VmFlags:(.*)", mapping)[1].split())
"""


@pytest.mark.skipif(
    not LARGE_PAGES.is_file() or "[never]" in LARGE_PAGES.read_text(), reason="this system gives no pages of 2 MB"
)
@pytest.mark.parametrize(("asked", "is_given"), [(None, True), ("0", False)])
def test_large_tensors_lie_in_large_pages_unless_the_user_says_no(asked: str | None, is_given: bool) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "THP_MEM_ALLOC_ENABLE"}
    if asked is not None:
        environment["THP_MEM_ALLOC_ENABLE"] = asked
    done = subprocess.run([sys.executable, "-c", HUGE_PAGES], env=environment, capture_output=True, check=True)
    # Asked for, that is: whether there are so many large pages just now is for the system to say.
    assert done.stdout.decode() == f"{is_given}\n"
