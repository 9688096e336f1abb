"""The demo: real data, the real commands one after the other, in a folder and a hub of its own."""
