"""Start of a worker process: `python -m extractors.workers [THREADS]`."""

import sys

from extractors.workers.isolation import leave_network, leave_no_core

if __name__ == "__main__":
    leave_no_core()
    leave_network()  # before the libraries below start threads, which would stay in the network

    from extractors.workers.server import serve

    serve(*sys.argv[1:])
