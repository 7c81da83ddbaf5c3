"""An extraction on a GPU that is pretended: run by `run_pretended` with the words of a command `extract`."""

import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import torch
from pretend import pretend_in_this_thread, pretended_cuda

from ballspot.cli import main
from ballspot.extract.rows import decoders
from ballspot.extract.video import process

if __name__ == "__main__":
    process.START = "fork"  # a new process would import this one's torch again, to decode
    decoders.ThreadPoolExecutor = partial(ThreadPoolExecutor, initializer=pretend_in_this_thread)
    torch.backends.cudnn.enabled = False  # its kernels cannot be pretended: torch then takes its own
    with pretended_cuda():
        main(["extract", *sys.argv[1:], "--device", "cuda"])
