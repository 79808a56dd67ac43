"""Fuzzing: one target per protocol, run by `make fuzz`. The test suite replays the seeds (`test_seeds.py`)."""
