"""Makes a disagreement small: leaves out pieces of the template and of the data as long as it stays."""

import re

PIECES = re.compile(r"(\{%-?\s*|\s*-?%\}|\{\{-?\s*|\s*-?\}\}|\s+|'[^']*'|\"[^\"]*\"|\w+|.)", re.S)
ATTEMPTS = 600


def shrink(case, still_differs):
    """Returns the smallest case found; `still_differs` says whether one still shows the disagreement."""
    left = [ATTEMPTS]

    def holds(candidate):
        left[0] -= 1
        return left[0] >= 0 and still_differs(candidate)

    changed = True
    while changed and left[0] > 0:
        template = shorter_template(case, holds)
        data = smaller_data(template, holds)
        changed = data != case
        case = data
    return case


def shorter_template(case, holds):
    pieces = [piece for piece in PIECES.findall(case["template"]) if piece]
    size = max(len(pieces) // 2, 1)
    while size:
        at = 0
        while at < len(pieces):
            candidate = pieces[:at] + pieces[at + size:]
            if holds(case | {"template": "".join(candidate)}):
                pieces = candidate
            else:
                at += 1 if size < 4 else size // 2
        size //= 2
    return case | {"template": "".join(pieces)}


def smaller_data(case, holds):
    """Tries to leave out or simplify each value of the data."""
    for path in paths(case["data"], ()):
        for simpler in simpler_values(value_at(case["data"], path)):
            candidate = case | {"data": with_value(case["data"], path, simpler)}
            if holds(candidate):
                case = candidate
                break
    return case


GONE = object()


def paths(value, path):
    if path:
        yield path
    fields = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in reversed(list(fields)):
        yield from paths(inner, (*path, key))


def value_at(value, path):
    for key in path:
        try:
            value = value[key]
        except (KeyError, IndexError, TypeError):
            return GONE
    return value


def simpler_values(value):
    if value is GONE:
        return
    yield GONE
    if isinstance(value, str) and len(value) > 1:
        yield value[: len(value) // 2]
        yield value[len(value) // 2:]
        yield value[1:]
        yield value[:-1]


def with_value(value, path, replacement):
    key, rest = path[0], path[1:]
    inner = with_value(value[key], rest, replacement) if rest else replacement
    if isinstance(value, dict):
        return {name: (inner if name == key else field) for name, field in value.items() if not (name == key and inner is GONE)}
    return [(inner if at == key else item) for at, item in enumerate(value) if not (at == key and inner is GONE)]
