"""What a fine-tuning refuses before its first step, and frames that it cannot have once it is under way."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from ballspot.cache.errors import BallspotError
from ballspot.extract.backbone import BackboneSpec, load_model
from ballspot.extract.video import DecodingError, probe_video
from ballspot.temporal.finetune import read_settings, video_clips
from ballspot.temporal.finetune.model import EndToEnd
from ballspot.temporal.finetune.settings import FinetuneSection
from ballspot.temporal.finetune.video_clips import ClipFormat, ClipReader, VideoClips, WantedClip

SIZE = (64, 96)
MATCHES = [f"synth/drawn/match-0{number}" for number in (1, 2)]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["sampling=hard-negatives"], "training.sampling = 'hard-negatives' is for cached features; give near-actions"),
        (["batch_clips=3", "copies=2"], "training.batch_clips 3 is not a multiple of finetune.copies 2"),
        (["sam_rho=0.1"], "training.sam_rho = 0.1: fine-tuning knows 0.0 only; set it so"),
    ],
)
def test_settings_that_pictures_do_not_know_are_named(settings: list[str], said: str) -> None:
    with pytest.raises(BallspotError, match=said):
        read_settings("finetune", settings)


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"freeze": ("stem",)}, "finetune.freeze: resnet10t has no part 'stem'; freeze is for RegNets"),
        ({"layer_decay": 0.8}, "finetune.layer_decay: resnet10t has no parts .*; leave it at 1"),
    ],
)
def test_a_backbone_without_the_parts_of_a_regnet_is_told(section: dict[str, Any], said: str) -> None:
    head: Any = torch.nn.Identity()
    with pytest.raises(BallspotError, match=said):
        EndToEnd(load_model(BackboneSpec("resnet10t", "random", SIZE)), head, FinetuneSection(**section))


def test_a_backbone_that_cannot_compute_twice_is_told() -> None:
    def refuses(enable: bool) -> None:
        raise AssertionError("gradient checkpointing not supported")

    loaded = load_model(BackboneSpec("resnet10t", "random", SIZE))
    loaded.model.set_grad_checkpointing = refuses  # pyright: ignore[reportAttributeAccessIssue]
    head: Any = torch.nn.Identity()
    with pytest.raises(BallspotError, match=r"finetune.checkpointing: resnet10t cannot do it; leave it out"):
        EndToEnd(loaded, head, FinetuneSection(checkpointing=True))


@pytest.fixture
def clips(brief: Path) -> Iterator[VideoClips]:
    probes = tuple(probe_video(brief / match / "64p.mp4") for match in MATCHES)
    made = VideoClips(probes, ClipFormat(4, 2, BackboneSpec("regnety_002", "random", SIZE), is_changed=False))
    yield made
    made.close()


def test_few_videos_are_held_open_and_one_that_is_read_again_gives_the_same(
    clips: VideoClips, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(video_clips, "MOST_OPEN", 1)
    first, second, again = (clips[WantedClip(*place, ())] for place in ((0, 10), (1, 40), (0, 10)))
    assert list(clips._sources) == [0]
    assert isinstance(first, video_clips.ClipPictures) and isinstance(second, video_clips.ClipPictures)
    assert isinstance(again, video_clips.ClipPictures) and torch.equal(first.pictures, again.pictures)
    assert not torch.equal(first.pictures, second.pictures)


def test_a_frame_that_cannot_be_had_comes_as_text_from_the_process_and_is_raised_here(
    clips: VideoClips, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Damaged:
        def frames(self, *given: object) -> Iterator[Any]:
            raise DecodingError("v.mp4: frame 12 is damaged; copy it again")
            yield

        def __exit__(self, *given: object) -> None:
            pass

    monkeypatch.setattr(clips, "_opened", lambda video: Damaged())
    wanted = WantedClip(0, 10, ())
    assert clips[wanted] == "v.mp4: frame 12 is damaged; copy it again"
    reader = ClipReader(clips, n_workers=0)
    with pytest.raises(DecodingError, match=r"^v.mp4: frame 12 is damaged; copy it again$"):
        next(reader.read([wanted]))
    reader._loader = [clips[wanted]]  # what processes hand over
    with pytest.raises(DecodingError, match=r"^v.mp4: frame 12 is damaged; copy it again$"):
        next(reader.read([wanted]))


def test_a_process_that_ended_for_want_of_shared_memory_is_told_with_the_key(clips: VideoClips) -> None:
    def killed() -> Iterator[Any]:
        raise RuntimeError("DataLoader worker (pid 7) is killed by signal: Bus error.\nIt is possible that ...")
        yield

    reader = ClipReader(clips, n_workers=0)
    reader._loader = killed()
    with pytest.raises(BallspotError, match=r"decoding ahead: .* Bus error.; is there room in memory and /dev/shm\?"):
        next(reader.read([WantedClip(0, 10, ())]))


@pytest.mark.skipif(torch.cuda.is_available(), reason="where a GPU is, memory is pinned")
def test_clips_are_pinned_picture_by_picture(clips: VideoClips, monkeypatch: pytest.MonkeyPatch) -> None:
    pinned: list[tuple[int, ...]] = []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: pinned.append(tuple(tensor.shape)) or tensor)
    clip = clips.clip(WantedClip(0, -2, ()))
    found = clip.pin_memory()
    assert pinned == [(4, *SIZE, 3)]  # bools of a clip are few: they go as they are
    assert torch.equal(found.inside, torch.tensor([False, True, True, True]))
