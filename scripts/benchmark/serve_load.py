"""How many requests the HTTP service answers in a second, and how long they take.

    python scripts/benchmark/serve_load.py OUT --file pairs.jsonl

starts ``gluonnlp-snli serve OUT`` as a process, and for each number of clients asks it for some seconds: every client
has a connection of its own and sends the next pair of the file once it has the last answer. Rates are those of whole
runs, in turn; latency is the median of all requests and what 95% and 99% of them do not exceed.
"""

import argparse
import contextlib
import http.client
import json
import re
import statistics
import subprocess
import sys
import threading
import time

from lib.machine import description
from lib.report import spread, table, write_section

from gluonnlp_snli_plugin import PluginError
from gluonnlp_snli_plugin.data.reader import PairReader


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", metavar="OUT", help="output folder of finetune")
    parser.add_argument("--file", required=True, metavar="F", help="pairs to ask, in SNLI's format")
    parser.add_argument("--clients", default="1,8,32", metavar="N,M", help="default: 1,8,32")
    parser.add_argument("--seconds", type=float, default=10, metavar="S", help="of a measurement; default: 10")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="measurements of each; default: 3")
    parser.add_argument("--explain", action="store_true", help="ask for explanations too")
    parser.add_argument("--write", metavar="F", help="put the table into this page, too")
    parser.add_argument("options", nargs="*", help="more options of serve, behind --")
    options = parser.parse_args()
    try:
        pairs = [row[:2] for row in PairReader(options.file, labelled=False)]
    except PluginError as error:
        sys.exit(f"error: {error}")
    bodies = [
        json.dumps({"premise": premise, "hypothesis": hypothesis, "explain": options.explain}).encode()
        for premise, hypothesis in pairs
    ]
    numbers = [int(number) for number in options.clients.split(",")]
    runs = {number: [] for number in numbers}
    with service(options.model, options.options) as port:
        measure(port, bodies, max(numbers), min(options.seconds, 5))  # batches of new lengths cost some preparation
        for _ in range(options.rounds):
            for number in numbers:
                runs[number].append(measure(port, bodies, number, options.seconds))
    rows = [row(number, runs[number]) for number in numbers]
    head = ["clients", "requests/s", "median, ms", "95%, ms", "99%, ms"]
    conditions = f"{description()}. {len(bodies)} pairs; {options.rounds} rounds of {options.seconds:g} s."
    result = f"{table(head, rows)}\n\n{conditions}"
    print(result)
    if options.write:
        write_section(options.write, "serving", result)


@contextlib.contextmanager
def service(model, options):
    """The port of a service that runs meanwhile."""
    command = [sys.executable, "-m", "gluonnlp_snli_plugin", "serve", model, "--port", "0", *options]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        said = ""
        for line in process.stderr:
            said += line
            found = re.search(r"http://\S+:(\d+)/", line)
            if found:
                break
        else:
            sys.exit(said)
        yield int(found.group(1))
    finally:
        process.terminate()
        process.wait()


def measure(port, bodies, num_clients, seconds):
    """Ask with some clients at once; the rate, and the latency in seconds of each request."""
    latencies = [[] for _ in range(num_clients)]
    begin = time.perf_counter()

    def client(number):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        with contextlib.closing(connection):
            i = number * len(bodies) // num_clients
            while time.perf_counter() < begin + seconds:
                start = time.perf_counter()
                connection.request("POST", "/predict", bodies[i % len(bodies)], {"Content-Type": "application/json"})
                response = connection.getresponse()
                answer = response.read()
                if response.status != 200:
                    raise RuntimeError(answer.decode())
                latencies[number].append(time.perf_counter() - start)
                i += 1

    clients = [threading.Thread(target=client, args=(number,)) for number in range(num_clients)]
    for thread in clients:
        thread.start()
    for thread in clients:
        thread.join()
    elapsed = time.perf_counter() - begin
    every = sorted(latency for some in latencies for latency in some)
    return len(every) / elapsed, every


def row(number, runs):
    rates = [rate for rate, _ in runs]
    every = sorted(latency * 1000 for _, latencies in runs for latency in latencies)
    places = [every[min(len(every) - 1, int(share * len(every)))] for share in (0.95, 0.99)]
    return [str(number), spread(rates, 0), f"{statistics.median(every):.0f}", *(f"{value:.0f}" for value in places)]


if __name__ == "__main__":
    main()
