"""The server's paths: inference as plain ASGI because it is hot, everything else on Starlette."""
