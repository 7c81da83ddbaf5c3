"""What a test process's server has imported, from which its workers and decoders are forked: there is one to a process."""

SERVER = ("timm", "torch._dynamo", "ballspot.temporal.sweep.job", "ballspot.extract.rows.crew")
