"""What match analysts load elsewhere: timelines, subtitles and chapters made of predicted spots."""
