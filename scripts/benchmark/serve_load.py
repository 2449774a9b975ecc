"""How many requests the HTTP service answers in a second, and how long they take.

    python scripts/benchmark/serve_load.py OUT --file pairs.jsonl

starts ``gluonnlp-snli serve OUT`` as a process, and for each number of clients asks it for some seconds: every client
has a connection of its own and sends the next pair of the file once it has the last answer. Rates are those of whole
runs, in turn; latency is the median of all requests and what 95% and 99% of them do not exceed. With ``--compare`` the
same is measured with ``--dtype int8`` and with ONNX Runtime, on an export of the model: services of the same program.
"""

import argparse
import contextlib
import http.client
import json
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from lib.machine import description
from lib.report import spread, table, write_section

from gluonnlp_snli_plugin import PluginError
from gluonnlp_snli_plugin.data.reader import PairReader
from gluonnlp_snli_plugin.formats.exporting import export
from gluonnlp_snli_plugin.formats.onnx.layout import GRAPH, SETTINGS
from gluonnlp_snli_plugin.system.files import digest


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", metavar="OUT", help="output folder of finetune")
    parser.add_argument("--file", required=True, metavar="F", help="pairs to ask, in SNLI's format")
    parser.add_argument("--clients", default="1,8,32", metavar="N,M", help="default: 1,8,32")
    parser.add_argument("--seconds", type=float, default=10, metavar="S", help="of a measurement; default: 10")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="measurements of each; default: 3")
    parser.add_argument("--explain", action="store_true", help="ask for explanations too")
    parser.add_argument("--compare", action="store_true", help="measure int8 and ONNX Runtime too")
    parser.add_argument("--write", metavar="F", help="put the table into this page, too")
    parser.add_argument("options", nargs="*", help="more options of serve, behind --")
    options = parser.parse_args()
    if options.compare and options.explain:
        parser.error("--explain cannot be combined with --compare: ONNX Runtime gives no explanations")
    try:
        measure_all(options)
    except PluginError as error:
        sys.exit(f"error: {error}")


def measure_all(options):
    """Measure, print the table and write it."""
    pairs = [row[:2] for row in PairReader(options.file, labelled=False)]
    bodies = [
        json.dumps({"premise": premise, "hypothesis": hypothesis, "explain": options.explain}).encode()
        for premise, hypothesis in pairs
    ]
    numbers = [int(number) for number in options.clients.split(",")]
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        services = compared(options.model, Path(folder)) if options.compare else {"this project": (options.model, [])}
        ports = {
            name: stack.enter_context(service(model, more + options.options))
            for name, (model, more) in services.items()
        }
        for port in ports.values():  # batches of new lengths cost some preparation
            measure(port, bodies, max(numbers), min(options.seconds, 5))
        runs = {(name, number): [] for number in numbers for name in ports}
        for _ in range(options.rounds):
            for name, number in runs:
                runs[name, number].append(measure(ports[name], bodies, number, options.seconds))
    rows = [([name] if options.compare else []) + row(number, some) for (name, number), some in runs.items()]
    head = ["clients", "requests/s", "median, ms", "95%, ms", "99%, ms"]
    head = (["computed by"] if options.compare else []) + head
    conditions = f"{description()}. {len(bodies)} pairs; {options.rounds} rounds of {options.seconds:g} s."
    result = f"{table(head, rows)}\n\n{conditions}"
    print(result)
    if options.write:
        write_section(options.write, "serving", result)


def compared(model, folder):
    """What computes, by name: the model or an export of it, and options of serve."""
    in_float32, in_int8 = folder / "float32", folder / "int8"
    for exported in (in_float32, in_int8):
        export(model, "onnx", exported)
    quantize(in_int8)
    return {
        "this project": (model, []),
        "this project, `--dtype int8`": (model, ["--dtype", "int8"]),
        "ONNX Runtime": (str(in_float32), []),
        "ONNX Runtime, `quantize_dynamic`": (str(in_int8), []),
    }


def quantize(folder):
    """Give the weights of an exported model 8 bits, by ONNX Runtime's own tool."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    graph, settings = folder / GRAPH, folder / SETTINGS
    quantize_dynamic(str(graph), str(folder / "quantized.onnx"), weight_type=QuantType.QInt8)
    (folder / "quantized.onnx").replace(graph)
    content = json.loads(settings.read_text(encoding="utf-8"))
    content["sha256"][GRAPH] = digest(graph)
    settings.write_text(json.dumps(content), encoding="utf-8")


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
