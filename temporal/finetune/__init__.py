"""A backbone and a head trained together on clips of pictures, on one process or several."""

from .model import chosen_precision
from .processes import joined_group
from .run import finetune, start_digest
from .settings import read_settings
from .task import Finetuning
from .videos import read_videos
