"""Where the frames of a clip and its tokens lie on stored rows and on the frames of the video."""

from dataclasses import dataclass

from ...cache.errors import BallspotError
from .sections import Config


@dataclass(frozen=True)
class ClipGrid:
    """A clip's length and what lies between its neighbours.

    ``clip_frames`` frames are ``clip_stride`` source frames and ``row_stride`` stored rows apart; one of every
    ``temporal_stride`` of them is a token.
    """

    clip_frames: int
    clip_stride: int = 1
    temporal_stride: int = 1
    row_stride: int = 1

    @classmethod
    def of(cls, config: Config, frame_spacing: int) -> "ClipGrid":
        """The configured clips over rows that are ``frame_spacing`` source frames apart.

        Raises BallspotError when clip_stride does not fall on stored rows.
        """
        clip_stride = config.clips.clip_stride
        if clip_stride % frame_spacing:
            raise BallspotError(
                f"clip_stride {clip_stride} is not a multiple of the {frame_spacing} frames between stored rows; "
                f"set clip_stride to a multiple of {frame_spacing}, or extract every frame"
            )
        return cls(config.clips.clip_frames, clip_stride, config.head.temporal_stride, clip_stride // frame_spacing)

    @property
    def frame_spacing(self) -> int:
        """Source frames from one stored row to the next."""
        return self.clip_stride // self.row_stride

    @property
    def n_tokens(self) -> int:
        """Tokens of a clip: 50 frames at stride 4 have 13."""
        return -(-self.clip_frames // self.temporal_stride)

    @property
    def n_rows(self) -> int:
        """Rows from a clip's first to behind its last."""
        return self.clip_frames * self.row_stride

    @property
    def n_source_frames(self) -> int:
        """Source frames from a clip's first to behind its last."""
        return self.clip_frames * self.clip_stride
