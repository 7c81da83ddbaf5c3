"""A training that takes a second: a transformer of 16 numbers a row on clips of 20 frames."""

SETTINGS = (
    "kind=transformer",
    "clip_frames=20",
    "width=16",
    "n_layers=1",
    "n_attention_heads=2",
    "n_epochs=2",
    "warmup_epochs=0",
)
SMALL = ["--preset", "fast", "--device", "cpu", "--set", "epoch_frames=400"]
SMALL += [word for setting in SETTINGS for word in ("--set", setting)]
