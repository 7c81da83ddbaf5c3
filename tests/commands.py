"""The commands in this process, as tests call them."""

from click.testing import CliRunner, Result

from ballspot.cli import main


def ballspot(*words: object) -> Result:
    """The command in this process."""
    return CliRunner().invoke(main, [str(word) for word in words])


def done(*words: object) -> Result:
    """The same of a command that must succeed."""
    result = ballspot(*words)
    assert result.exit_code == 0, result.output + result.stderr
    return result


def run(*words: object) -> tuple[int, str, str]:
    """The same: exit code, standard output and standard error."""
    result = ballspot(*words)
    return result.exit_code, result.stdout, result.stderr
