"""What has been imported by the server from which a test process forks workers and decoders: it has one."""

SERVER = ("timm", "torch._dynamo", "ballspot.temporal.sweep.stacks", "ballspot.extract.rows.crew")
