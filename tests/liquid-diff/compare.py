#!/usr/bin/env python3
"""Renders random templates with ebb, with Ruby's Liquid and with python-liquid, and compares: the same text, or an error of both.

Prints the agreement for each tag and filter, and the first disagreements made small. Ends with 1 where a disagreement is
none of the listed deliberate differences (differences.py).
"""

import argparse
import json
import pathlib
import re
import subprocess
import sys
import venv
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from differences import explanation, names, same
from engines import Engine
from filter_table import FILTERS, NEWER_FILTERS, NEWER_TAGS, TAGS
from generate import Generator
from shrink import shrink

HERE = pathlib.Path(__file__).parent
RUBY = "/usr/bin/ruby"
PYTHON_LIQUID = "python-liquid==2.3.6"
FEATURE = re.compile(r"\{%-?\s*(\w+|#)|\|\s*(\w+)")
MARKUP = re.compile(r"\{\{.*?\}\}|\{%.*?%\}", re.S)


def features(template):
    """Returns the names of the tags (`%if`) and filters (`|upcase`) in a template."""
    found = FEATURE.findall(" ".join(MARKUP.findall(template)))
    return {f"%{tag}" for tag, _ in found if tag in TAGS} | {f"|{name}" for _, name in found if name in FILTERS or name in NEWER_FILTERS}


def is_newer(template):
    """Returns whether Debian's Ruby gem cannot know something in the template."""
    names = {f"|{name}" for name in NEWER_FILTERS} | {f"%{name}" for name in NEWER_TAGS}
    return bool(names & features(template)) or any(re.search(rf"\b{name}\b", template) for name in NEWER_TAGS)


def ruby_engine():
    found = subprocess.run([RUBY, HERE / "ruby_liquid.rb", "--version"], capture_output=True, text=True) if pathlib.Path(RUBY).exists() else None
    if found is None or found.returncode:
        print("skipped: no Ruby with the gem `liquid`. On Debian: apt-get install ruby-liquid")
        return None
    print(f"Ruby's Liquid {found.stdout.strip()}")
    return Engine("ruby", [RUBY, str(HERE / "ruby_liquid.rb")])


def python_engine(cache):
    """Returns python-liquid in its own environment under `cache`, or None where it cannot be installed."""
    python = cache / "python-liquid" / "bin" / "python"
    works = [str(python), "-c", "import liquid"]
    if not python.exists() or subprocess.run(works, capture_output=True).returncode:
        venv.create(cache / "python-liquid", with_pip=True, clear=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", PYTHON_LIQUID], check=False)
    if subprocess.run(works, capture_output=True).returncode:
        print(f"{PYTHON_LIQUID} cannot be installed: only Ruby is compared")
        return None
    print(PYTHON_LIQUID)
    return Engine("python", [str(python), str(HERE / "python_liquid.py")])


class Report:
    """What was counted, and the disagreements that nothing explains."""

    def __init__(self, engines):
        self.engines = engines
        self.totals = Counter()
        self.by_feature = {}
        self.explained = Counter()
        self.unexplained = []

    def count(self, case, ruby, python, ebb):
        names = features(case["template"])
        newer = is_newer(case["template"])
        reference = ruby if not newer else python
        if python:
            self.agreement("python", names, same(python, ebb))
        if reference is None:
            return
        if not newer:
            self.agreement("ruby", names, same(ruby, ebb))
            self.totals["both run"] += ruby["ok"] and ebb["ok"]
            self.totals["both fail"] += not ruby["ok"] and not ebb["ok"]
        if same(reference, ebb):
            return
        name = explanation(case, reference, ebb, self.engines["python" if newer else "ruby"], self.engines["ebb"])
        if name:
            self.explained[name] += 1
            return
        alone = bool(ruby and python and not newer and same(ruby, python))
        self.totals["alone"] += alone
        self.unexplained.append((case, "python" if newer else "ruby", alone))

    def agreement(self, engine, names, agrees):
        for name in [*names, "all"]:
            one = self.by_feature.setdefault(name, Counter())
            one[engine] += 1
            one[f"{engine} agrees"] += agrees

    def show(self):
        print(f"\n{'':24}{'ruby':>22}{'python':>22}")
        for name in sorted(self.by_feature, key=lambda name: (name != "all", name)):
            one = self.by_feature[name]
            if one["ruby"] + one["python"] < 20:
                continue
            print(f"{name:24}" + "".join(f"{share(one, engine):>22}" for engine in ("ruby", "python")))
        print(f"\nboth give a text: {self.totals['both run']}, both refuse: {self.totals['both fail']}")
        for name, count in self.explained.most_common():
            print(f"deliberately different: {count:6} {name}")
        print(f"unexplained: {len(self.unexplained)}, of which Ruby and Python agree with each other: {self.totals['alone']}")


def share(one, engine):
    if not one[engine]:
        return "-"
    return f"{one[f'{engine} agrees']}/{one[engine]} {100 * one[f'{engine} agrees'] / one[engine]:6.2f} %"


def kind_of(answer):
    """An answer without what differs from one case to the next: that there is a text, or the kind of error."""
    return None if answer["ok"] else re.sub(r"`[^`]*`|\d+|['\"{].*", "", answer["error"])


def shown(answer):
    return repr(answer["text"]) if answer["ok"] else f"error: {answer['error']}"


def show_shrunk(report, engines, most):
    """Prints the first unexplained disagreements, each kind once."""
    seen = Counter()
    for case, reference, alone in sorted(report.unexplained, key=lambda one: (not one[2], len(one[0]["template"]))):
        if len(seen) >= most:
            break
        first = engines[reference].ask(case), engines["ebb"].ask(case)

        def still_differs(candidate):
            theirs, ours = engines[reference].ask(candidate), engines["ebb"].ask(candidate)
            return (not same(theirs, ours) and [kind_of(one) for one in (theirs, ours)] == [kind_of(one) for one in first]
                    and is_newer(candidate["template"]) == is_newer(case["template"]) and not explanation(candidate, theirs, ours, engines[reference], engines["ebb"]))

        small = shrink(case, still_differs)
        answers = {name: engine.ask(small) for name, engine in engines.items()}
        kind = (frozenset(features(small["template"])), kind_of(answers[reference]), kind_of(answers["ebb"]))
        seen[kind] += 1
        if seen[kind] > 1:
            continue
        print(f"\n{small['template']!r}   {json.dumps(small['data'], ensure_ascii=False)}")
        for name, answer in answers.items():
            print(f"    {name:7}{shown(answer)[:300].splitlines()[0]}")


def undocumented():
    """Returns the names of deliberate differences that the page does not have."""
    page = (HERE / "../../docs/templates.md").read_text()
    return [name for name in names() if f"\n| {name} |" not in page]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", type=int, nargs="?", default=30_000, help="how many templates")
    parser.add_argument("seed", type=int, nargs="?", default=1)
    parser.add_argument("--ebb", required=True, help="the program ebb")
    parser.add_argument("--cache", type=pathlib.Path, required=True, help="a folder for python-liquid")
    parser.add_argument("--show", type=int, default=20, help="how many disagreements are made small and printed")
    return parser.parse_args()


def main():
    args = arguments()
    if missing := undocumented():
        print(f"docs/templates.md does not have: {', '.join(missing)}")
        return 1
    ruby = ruby_engine()
    if ruby is None:
        return 0
    python = python_engine(args.cache)
    engines = {engine.name: engine for engine in (ruby, python, Engine("ebb", [args.ebb, "template", "render", "--batch"])) if engine}
    generator = Generator(args.seed)
    cases = [generator.case() for _ in range(args.count)]
    with ThreadPoolExecutor() as pool:
        answers = dict(zip(engines, pool.map(lambda engine: engine.ask_all(cases), engines.values())))
    report = Report(engines)
    nothing = [None] * len(cases)
    for case, *three in zip(cases, answers["ruby"], answers.get("python", nothing), answers["ebb"]):
        report.count(case, *three)
    report.show()
    show_shrunk(report, engines, args.show)
    for engine in engines.values():
        engine.stop()
    return 1 if report.unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
