"""Checkpoints on the Hugging Face hub: the one file that is asked for, and the settings that lie beside it."""

import re
from pathlib import Path, PurePosixPath

from huggingface_hub import HfApi, constants

from ...cache.errors import BallspotError
from ..bundle import asking_hub, is_plain_path
from ..systems import SETTINGS_FILE

SCHEME = "hub:"
ENDINGS = (".pt", ".pth", ".pth.tar", ".bin", ".ckpt", ".safetensors", ".ballspot")
NAMED = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+)(/(?P<file>[^@]+))?(@(?P<revision>.+))?", re.ASCII)


def checkpoint_path(text: str) -> Path:
    """The file that ``text`` means: a path, or `hub:OWNER/NAME`, also with `/FILE` and `@REVISION`, got from the hub.

    Of a repository its one checkpoint is got, with the config.json beside it, into the hub's own cache, where it stays.
    Raises BallspotError when the hub does not answer, and for a repository with no checkpoint or several.
    """
    if not text.startswith(SCHEME):
        return Path(text)
    match = NAMED.fullmatch(text.removeprefix(SCHEME))
    if match is None:
        raise BallspotError(f"{text}: is not hub:OWNER/NAME, hub:OWNER/NAME/FILE or hub:OWNER/NAME@REVISION")
    repo, revision = match["repo"], match["revision"]
    api = HfApi(endpoint=constants.ENDPOINT)
    with asking_hub(repo):
        there = [file for file in api.list_repo_files(repo, revision=revision) if is_plain_path(file)]
        file = _chosen(there, match["file"], text=text)
        path = Path(api.hf_hub_download(repo, file, revision=revision))
        settings = str(PurePosixPath(file).parent / SETTINGS_FILE)
        if settings in there:
            api.hf_hub_download(repo, settings, revision=revision)
    return path


def _chosen(there: list[str], asked: str | None, *, text: str) -> str:
    """The file of a repository that was asked for, else its only checkpoint."""
    found = [file for file in there if file.lower().endswith(ENDINGS)]
    if asked is not None and asked in there:
        return asked
    shown = ", ".join(found[:6]) + (", ..." if len(found) > 6 else "")
    if asked is not None:
        raise BallspotError(f"{text}: holds no file {asked!r}; its checkpoints are {shown or 'none'}")
    if not found:
        raise BallspotError(f"{text}: holds no checkpoint ({', '.join(ENDINGS)}); give another repository, or a file")
    if len(found) > 1:
        repository = text.partition("@")[0]
        raise BallspotError(f"{text}: holds {len(found)} checkpoints ({shown}); name one, e.g. {repository}/{found[0]}")
    return found[0]
