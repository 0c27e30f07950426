"""Renders lines of JSON ({"template", "data"}) with python-liquid, one answer a line, as ruby_liquid.rb does."""

import json
import resource
import signal
import sys

import liquid

SECONDS = 3
MEMORY_BYTES = 1 << 30


class TooSlow(Exception):
    """A render took too long."""


def give_up(_signal, _frame):
    raise TooSlow


def answer(environment, line):
    try:
        request = json.loads(line)
        signal.alarm(SECONDS)
        try:
            text = environment.from_string(request["template"]).render(request["data"])
        finally:
            signal.alarm(0)
        text.encode("utf-8")
        return {"ok": True, "text": text}
    except Exception as error:  # Whatever it fails with is its answer.
        return {"ok": False, "error": f"{type(error).__name__}: {error}"[:300]}


def main():
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    signal.signal(signal.SIGALRM, give_up)
    environment = liquid.Environment(tolerance=liquid.Mode.STRICT, strict_filters=True)
    for line in sys.stdin:
        print(json.dumps(answer(environment, line)), flush=True)


if __name__ == "__main__":
    main()
