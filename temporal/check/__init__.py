"""Tries a head of a user's own before it is trained, and says in plain words what is wrong with it."""

from .head_check import check_head
