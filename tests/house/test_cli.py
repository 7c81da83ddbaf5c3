"""The command line as a whole: lazy, documented, and polite about errors."""

import subprocess
import sys
from importlib import import_module

import click
import pytest
from click.testing import CliRunner

from ballspot import cli
from ballspot.cache.errors import BallspotError

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


@pytest.mark.parametrize("name", PLACES)
def test_help_of_a_command_imports_no_torch(name):
    code = (
        "import sys\n"
        "from click.testing import CliRunner\n"
        "from ballspot.cli import main\n"
        f"CliRunner().invoke(main, {[*name.split(), '--help']!r})\n"
        "sys.exit('torch' in sys.modules)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_error_that_a_user_causes_is_one_line_and_exit_code_one():
    @click.group(cls=cli.LazyGroup, table={})
    def group() -> None:
        pass

    @group.command()
    def fail() -> None:
        raise BallspotError("here: 3 is not 4; write 4")

    result = CliRunner().invoke(group, ["fail"])
    assert (result.exit_code, result.output) == (1, "Error: here: 3 is not 4; write 4\n")


def test_an_unknown_command_is_a_usage_error():
    assert CliRunner().invoke(cli.main, ["extrct"]).exit_code == 2
