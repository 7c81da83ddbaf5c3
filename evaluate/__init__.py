"""SoccerNet's side, in numpy: matches and their labels, predictions of anybody, the exact metric, how sure it is, and
how all of it is shown. Nothing here knows torch or opens a video. Rooms, from the ground up: dataset, formats and
scoring, uncertainty, exports and viewer, diagnosis, results, reporting, commands.
"""
