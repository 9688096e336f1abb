"""Serving: model versions answer predictions over the Open Inference Protocol, and leave a trace.

One supervisor a hub (`supervisor`) keeps one server (`server`) alive; the server holds the
endpoints that the hub's deployment events ask for (`endpoints`), answers (`http`, `oip`, `models`)
and writes the prediction log (`predictions`). `deployments` plans events; `client` and `inputs`
are the other side of the wire and load neither a server nor a runtime. The hub is reached only
through the callables of `interface`.
"""
