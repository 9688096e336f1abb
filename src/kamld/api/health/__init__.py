"""Looking after a hub from Python: checks, repairs, purges."""
