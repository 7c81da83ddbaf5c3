"""What most tests only want to use, made once a process: the backbones of equal weights, and their engines.

Some folders make them anew each time: there they are what is tested.
"""

import multiprocessing
import sys
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import pytest
import torch

import ballspot.extract.rows.recipe as recipe
import ballspot.extract.rows.segments as segments
import ballspot.extract.video.process as decoding
import ballspot.temporal.bundle.run_features as run_features
from ballspot.cache.workers import pool
from ballspot.extract.backbone import load
from ballspot.extract.backbone.engines import Engine, make_engine
from ballspot.extract.backbone.load import Backbone, Loaded, assemble
from ballspot.extract.backbone.weights import weights_digest

from .preloaded import SERVER
from .servers import fork_servers, started_anew

TESTED = {"backbone", "video", "workers"}  # the folders that make everything anew
N_KEPT = 8
multiprocessing.set_forkserver_preload(list(SERVER))
if set(SERVER) <= set(sys.modules):  # else it is started when it is needed, and imports them
    fork_servers()
    forkserver.ensure_running()  # now: later it would have what a test has changed in this process

kept: dict[Hashable, Any] = {}


def once(key: Hashable, make: Callable[[], Any]) -> Any:
    """What was made under that key before, or is made now; few are kept."""
    if key not in kept:
        while len(kept) >= N_KEPT:
            kept.pop(next(iter(kept)))
        kept[key] = make()
    return kept[key]


def kept_backbone(loaded: Loaded, device: torch.device, **how: bool) -> Backbone:
    """`assemble`; once for the same weights in the same model."""
    spec = (repr(loaded.spec), repr(loaded.shift), str(device), repr(how))
    return once((weights_digest(loaded.model.state_dict()), *spec), lambda: assemble(loaded, device, **how))


def kept_engine(backbone: Backbone, **settings: Any) -> Engine:
    """`make_engine`; once for the same model, pictures and settings. With OpenVINO each is made: it may be missing."""
    if settings["kind"] != "torch":
        return make_engine(backbone, **settings)
    key = (id(backbone.model), backbone.mean, backbone.std, repr(backbone.spec), repr(sorted(settings.items())))
    return once(key, lambda: (backbone, make_engine(backbone, **settings)))[1]  # with the model, whose id it goes by


def process_context(preload: Sequence[str]) -> Any:
    """That of the package, but for what its server has imported."""
    return multiprocessing.get_context("forkserver" if preload else "spawn")


@contextmanager
def keeping(path: Path) -> Iterator[None]:
    """Has the package take what is kept, and fork its decoders from the server of this process, in tests of ``path``.

    In those that make everything anew the server is one that a user would have.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        yield
    elif TESTED & set(path.parts):
        with started_anew():
            yield
    else:
        with pytest.MonkeyPatch.context() as patch:
            for module in (load, recipe, run_features):
                patch.setattr(module, "assemble", kept_backbone)
            patch.setattr(segments, "make_engine", kept_engine)
            patch.setattr(pool, "process_context", process_context)
            patch.setattr(decoding, "START", "forkserver")
            yield
