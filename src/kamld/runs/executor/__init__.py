"""Executors: where and how a run's command is carried out. `local` starts it on this machine."""
