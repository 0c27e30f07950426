"""The programs that are compared: each reads lines of JSON and answers each with a line."""

import json
import os
import subprocess
import threading

# Whatever a machine's zone is: dates without one are UTC everywhere.
ZONE = {"TZ": "UTC", "LANG": "C.UTF-8"}

# An answer takes longer than this only from a program that hangs; the references give up by themselves before.
SECONDS = 20
ENDED = {"ok": False, "error": "the program ended", "ended": True}


class Engine:
    """One program, kept running."""

    def __init__(self, name, command, environment=None):
        self.name = name
        self.command = command
        self.environment = os.environ | ZONE | (environment or {})
        self.process = None

    def start(self):
        self.process = subprocess.Popen(
            self.command, env=self.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, encoding="utf-8")

    def stop(self):
        if self.process:
            self.process.kill()
            self.process.wait()
            for stream in (self.process.stdin, self.process.stdout):
                try:
                    stream.close()
                except BrokenPipeError:
                    pass
            self.process = None

    def ask(self, case):
        """Returns the answer to one case; a program that ends instead is started again."""
        if self.process is None:
            self.start()
        try:
            self.process.stdin.write(json.dumps(case) + "\n")
            self.process.stdin.flush()
            line = self.line()
        except BrokenPipeError:
            line = ""
        if line:
            return json.loads(line)
        self.stop()
        return ENDED

    def ask_all(self, cases):
        """Returns the answers to all cases, in their order."""
        answers = []
        while len(answers) < len(cases):
            self.start()
            writer = threading.Thread(target=self.write, args=(cases[len(answers):],), daemon=True)
            writer.start()
            while line := self.line():
                answers.append(json.loads(line))
                if len(answers) == len(cases):
                    break
            self.stop()
            writer.join()
            if len(answers) < len(cases):
                answers.append(ENDED)
        return answers

    def line(self):
        """Returns the next line; a program that takes too long for it is ended."""
        watch = threading.Timer(SECONDS, self.process.kill)
        watch.start()
        line = self.process.stdout.readline()
        watch.cancel()
        return line

    def write(self, cases):
        try:
            for case in cases:
                self.process.stdin.write(json.dumps(case) + "\n")
            self.process.stdin.close()
        except (BrokenPipeError, ValueError):
            pass
