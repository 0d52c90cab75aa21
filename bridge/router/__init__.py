"""From an INVITE to a running call: who it is for, whether it may come in, and the task that attends to it."""
