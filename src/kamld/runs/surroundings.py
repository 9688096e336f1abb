"""What a run's command finds around it: environment variables, and two files in its run folder.

The variables are enough for any language. `FACTS` repeats them with labels as they were written
and parameters with their types; `POINTS` is where metrics are appended, a JSON object a line. Read
by the user's own process through kamld.api, so this imports nothing.
"""

INPUT = "KAMLD_INPUT_"  # + label: the folder of the input's files, read-only
OUTPUT = "KAMLD_OUTPUT_"  # + label: the folder to write the output's files into
PARAM = "KAMLD_PARAM_"  # + name: the value, as it was written
RUN_ID = "KAMLD_RUN_ID"
RUN_DIR = "KAMLD_RUN_DIR"
HUB = "KAMLD_HUB"
PROJECT = "KAMLD_PROJECT"

FACTS = "run.json"  # {"id", "inputs": {label: folder}, "outputs": {…}, "params": {name: value}}
POINTS = "metrics.jsonl"  # {"name", "value", "step", "time"}; value may be "nan", "inf", "-inf"


def variable(prefix: str, label: str) -> str:
    """Upper case; whatever is not A-Z or 0-9 becomes _."""
    letters = (c if c.isascii() and c.isalnum() else "_" for c in label.upper())
    return prefix + "".join(letters)
