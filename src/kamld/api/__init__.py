"""The Python door: what `import kamld` offers. Names are found here through kamld.__getattr__."""
