"""What each filter takes and gives, for the generator: name -> (input, arguments, result).

A type is one of the generator's (see `generate.py`); one that begins with `?` may be left out, with all behind it.
"""

FILTERS = {
    # Text.
    "append": ("str", ["str"], "str"),
    "prepend": ("str", ["str"], "str"),
    "capitalize": ("str", [], "str"),
    "downcase": ("str", [], "str"),
    "upcase": ("str", [], "str"),
    "strip": ("str", [], "str"),
    "lstrip": ("str", [], "str"),
    "rstrip": ("str", [], "str"),
    "strip_newlines": ("str", [], "str"),
    "newline_to_br": ("str", [], "str"),
    "strip_html": ("html", [], "str"),
    "escape": ("html", [], "str"),
    "h": ("html", [], "str"),
    "escape_once": ("html", [], "str"),
    "replace": ("str", ["needle", "?str"], "str"),
    "replace_first": ("str", ["needle", "?str"], "str"),
    "replace_last": ("str", ["needle", "str"], "str"),
    "remove": ("str", ["needle"], "str"),
    "remove_first": ("str", ["needle"], "str"),
    "remove_last": ("str", ["needle"], "str"),
    "slice": ("str_or_list", ["small", "?small"], "str"),
    "split": ("str", ["needle"], "list"),
    "truncate": ("str", ["?small", "?str"], "str"),
    "truncatewords": ("str", ["?small", "?str"], "str"),
    "size": ("any", [], "int"),
    "url_encode": ("str", [], "str"),
    "url_decode": ("encoded", [], "str"),
    "base64_encode": ("str", [], "base64"),
    "base64_decode": ("base64", [], "str"),
    "base64_url_safe_encode": ("str", [], "base64"),
    "base64_url_safe_decode": ("base64", [], "str"),
    # Numbers.
    "plus": ("num", ["num"], "num"),
    "minus": ("num", ["num"], "num"),
    "times": ("num", ["num"], "num"),
    "divided_by": ("num", ["num"], "num"),
    "modulo": ("num", ["num"], "num"),
    "abs": ("num", [], "num"),
    "ceil": ("num", [], "int"),
    "floor": ("num", [], "int"),
    "round": ("num", ["?small"], "num"),
    "at_least": ("num", ["num"], "num"),
    "at_most": ("num", ["num"], "num"),
    # Lists.
    "join": ("list", ["?needle"], "str"),
    "first": ("list", [], "any"),
    "last": ("list", [], "any"),
    "map": ("objs", ["key"], "list"),
    "where": ("objs", ["key", "?any"], "objs"),
    "compact": ("list", ["?key"], "list"),
    "concat": ("list", ["list"], "list"),
    "reverse": ("list", [], "list"),
    "sort": ("list", ["?key"], "list"),
    "sort_natural": ("list", ["?key"], "list"),
    "uniq": ("list", ["?key"], "list"),
    # Others.
    "default": ("any", ["any"], "any"),
    "date": ("date", ["format"], "str"),
}

# Only in newer versions than Debian's Ruby gem: compared with python-liquid alone.
NEWER_FILTERS = {
    "sum": ("list", ["?key"], "num"),
    "reject": ("objs", ["key", "?any"], "objs"),
    "find": ("objs", ["key", "?any"], "obj"),
    "find_index": ("objs", ["key", "?any"], "int"),
    "has": ("objs", ["key", "?any"], "bool"),
    "squish": ("str", [], "str"),
}
NEWER_TAGS = {"doc"}

# What the agreement is shown for.
TAGS = {"#", "assign", "break", "capture", "case", "comment", "continue", "cycle", "decrement", "doc", "echo", "for", "if", "ifchanged", "increment", "liquid", "raw", "tablerow",
        "unless"}

# Those that work on lists of objects when they are given a key.
KEYED = {"sort", "sort_natural", "uniq", "compact", "sum"}
