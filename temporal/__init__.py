"""Stage two: rows of features become a head, its scores and its spots.

Rooms, from the ground up: config and features, heads and decoding, clips and bundle, prediction, training, then
sweep, finetune and on_video, and the commands. Only bundle, finetune, on_video and commands may ask stage one for
anything.
"""
