"""What `make coverage` needs so that it sees the lines that decoders run.

They are killed when their work is done, for nothing of theirs is lost by that; but what was measured in them would be.
"""

from ballspot.extract.video.process import DecodingProcess

PATIENCE_S = 2.0  # for a decoder that computes in a library: it sees its pipe when that returns


def decoders_end_by_themselves() -> None:
    """Closes the pipe of a decoder before it is killed: it ends as it does where its owner has ended."""
    kill = DecodingProcess.close

    def close(decoder: DecodingProcess) -> None:
        if decoder._process is not None and decoder._connection is not None:
            decoder._connection.close()
            decoder._process.join(PATIENCE_S)
        kill(decoder)

    DecodingProcess.close = close  # pyright: ignore[reportAttributeAccessIssue]  for its argument is called otherwise
