"""Runs: one execution of the user's code, from input commits to output commits and a sealed record.

`words` reads what people write, `plan` decides, `runner` does it: an executor (`interface`) starts
the command and watches it, `seal` keeps what came of it, `unfinished` closes what a crash left.
`surroundings` is what the command finds around it, and all that the Python door loads; so nothing
is imported here.
"""
