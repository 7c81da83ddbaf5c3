"""The ground floor: what lasts on disk, and the little that every other folder needs.

It knows nothing of football, of torch or of videos. Rooms: disk (files that are whole or absent), terminal (what a
command shows and the options that commands share), stores (features on disk), runs (run folders and sweep records),
workers (one way of doing tasks beside one another).
"""
