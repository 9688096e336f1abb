"""What is inside files: tables, pictures, arrays and models, text.

Works on paths and on binary files that can seek; knows no store, no version, no person. Nothing here
runs code from inside a file, and what is damaged or lies about itself raises Invalid.
"""
