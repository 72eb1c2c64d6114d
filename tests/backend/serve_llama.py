#!/usr/bin/env python3
"""Runs the llama.cpp HTTP server on a loopback port until SIGTERM.

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


def parameters(args):
    params = xllamacpp.CommonParams()
    params.model.path = args.model
    params.hostnames = ["127.0.0.1"]
    params.port = args.port
    params.model_alias = {args.alias}
    params.n_parallel = args.parallel
    params.n_ctx = args.context
    # On two busy cores, two threads wait for each other; one is faster.
    params.cpuparams.n_threads = 1
    params.embedding = args.embeddings
    if args.embeddings:
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
