#!/usr/bin/env python3
"""The real llama.cpp HTTP server on a loopback port, until it is told to stop.

usage: serve_llama.py MODEL.gguf PORT ALIAS [--parallel N] [--context N] [--embeddings]
"""

import argparse
import signal
import sys

import xllamacpp


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("port", type=int)
    parser.add_argument("alias")
    parser.add_argument("--parallel", type=int, default=1)
    parser.add_argument("--context", type=int, default=4096)
    parser.add_argument("--embeddings", action="store_true")
    return parser.parse_args()


def parameters(asked):
    params = xllamacpp.CommonParams()
    params.model.path = asked.model
    params.hostnames = ["127.0.0.1"]
    params.port = asked.port
    params.model_alias = {asked.alias}
    params.n_parallel = asked.parallel
    params.n_ctx = asked.context
    # Two threads on two busy cores wait for each other: one is faster.
    params.cpuparams.n_threads = 1
    params.embedding = asked.embeddings
    if asked.embeddings:
        params.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
    params.endpoint_slots = True
    params.endpoint_props = True
    return params


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    server = xllamacpp.Server(parameters(arguments()))
    print("listening", server.listening_address, flush=True)
    while True:
        signal.pause()


if __name__ == "__main__":
    main()
