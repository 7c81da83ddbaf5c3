"""Stage one: videos become rows of features in stores.

It knows no head. Rooms, from the ground up: video (what a file holds, and its frames exactly), backbone (pictures to
features), rows (both together, into stores), media (clips and sheets), data_root (checks, counts, drawn matches),
commands.
"""
