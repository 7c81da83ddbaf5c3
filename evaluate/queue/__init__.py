"""Which spots and stretches of video are worth an annotator's answer, best first, and why.

This room reads predictions, scores and labels; the page of `ballspot view --edit` walks what it writes.
"""

from .file import Queue, read_queue, write_queue
from .questions import Head, Known, Question, check_heads, find_questions, rarity
from .ranking import Budget, ranked
