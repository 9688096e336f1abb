"""What is in a person's folder: paths, kinds, sizes and times. Reads no file, and knows no version.

Looking (`looking`) needs little of Python to be loaded, so that it can begin before all the rest is
(`ahead`); what was seen becomes columns in `listing`.
"""
