"""Reading versions where they are kept, without a folder: files, tables, streams for training.

It writes nothing and keeps nothing; whoever wants files on a disk checks a version out.
"""

from kamld.reading.files import File, Files, files_of
from kamld.reading.iterate import Example, Reader
from kamld.reading.tables import Table, table_of

__all__ = ["Example", "File", "Files", "Reader", "Table", "files_of", "table_of"]
