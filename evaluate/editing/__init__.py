"""Corrections of a label file: typed actions, a journal beside the file, and the file itself, written whole.

What was acknowledged is on the disk; undo and redo go back to where the journal began.
"""

from .actions import (
    Accept,
    AcceptAll,
    Action,
    Add,
    Delete,
    Move,
    Note,
    Redo,
    Reject,
    SetClass,
    SetTeam,
    Undo,
    Watch,
    read_action,
)
from .book import REJECTED_WITHIN_MS, BookState, ConflictError, LabelBook
from .journal import Decisions, Stretch, decisions_beside, journal_of
