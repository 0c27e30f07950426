"""Random Liquid templates with their data, the same for the same seed.

Most are well-formed and well-typed, so that they render; a share takes wrong types, and a share is damaged by small
edits, so that errors are compared too.
"""

import random
import re

from filter_table import FILTERS, KEYED, NEWER_FILTERS

INTS = [0, 1, 2, 3, 4, 5, 7, 10, 12, 42, 100, -1, -2, -3, -7, 1000, 2**31, 2**53 + 1, 2**63, -(2**63), 10**20, -(10**25)]
FLOATS = [0.0, 0.1, 0.2, 0.5, 1.0, 1.5, 2.5, 3.5, -0.5, -1.5, -2.5, 3.14159, 2.675, 1.005, 123456.789, 1e15, 1e16, 1e20,
          1.5e-7, 0.0001, 0.00001, -1e-5, 100.0, 99.999, 9007199254740993.0, 1234567890123.456]
STRINGS = [
    "", " ", "a", "b", "A", "Hello", "hello world", "Ground Control to Major Tom", "a,b,c", ",a,,b,,", "a b  c\td", "  pad  ",
    "\tx\n", "12", "-3.50", "1.5abc", "12abc", "abc12", "1e3", " 7 ", "+5", "5.", ".5", "007", "1_000", "-", "0.1", "0.30", "true", "false", "nil",
    "Ünïcödé ß", "日本語テキスト", "ǆ ﬁ ŉ", "İI", "ΌΔΟΣ", "👍🏽 ok", "e\u0301", "\u00a0nbsp\u00a0", "\u2003em\u2003", "it's", 'say "hi"', "back\\slash", "\\0 \\1 &",
    "line\nbreak\r\nend\n", "\r", "a\u0000b", "x\u000by\u000c", "{{ x }", "{ % if %", "one two three four five six", "100%", "%41", "ﬀ", "Straße", "camelCaseText",
]
HTML = ["<b>bold</b>", "<p class='x'>a &amp; b</p>", "1 < 2 > 0", "<!-- c --> d", "<script>alert('x')</script>y", "<SCRIPT>z</SCRIPT>",
        "<style>p{}</style>q", "<a\nhref=\"u\">l</a>", "&lt;x&gt; & <y>", "&#39; &#x27; &; &nope &copy;", "<<b>>", "<scr<script>ipt>", "a<b", "<script>\n</script", "\"q\" 'r'"]
ENCODED = ["a+b", "a%20b", "%C3%A9", "%zz", "%", "%4", "%E3%81", "100%25", "x%2By", "é", "%2B%26%3D", "a%0Ab", "%c3%a9"]
BASE64 = ["b25lIHR3bw==", "b25lIHR3bw", "YQ==", "YQ", "Pz8-Pg==", "Pz8+Pg==", "!!!", "", "w6k=", "/w==", "b25l\n", "YQ=", "YWJj"]
DATES = [
    "2024-02-29", "2024-01-31T10:05:09Z", "2024-07-01T10:00:00+02:00", "1999-12-31 23:59:59", "2024-12-30", "2021-01-03", "2020-01-01 00:00:00 -0500",
    "March 14, 2016", "Mar 14 2016", "14 March 2016", "1 Jan 2000 13:05", "Mon, 02 Jan 2006 15:04:05 GMT", "2006-07-05 10:00:00 UTC", "2024/03/09", "2024-03-09T04:05:06.789012Z",
    "20240309", "20240309T040506", "1152098955", 1152098955, 0, -1, 1700000000, 253402300799, "2016-W05-3", "not a date", "", "hello", "10:30", "12/25/2024", "25/12/2024", "May", "monday", "2024-13-45",
    "2024-02-30", "2024-01-01T00:00", "3:04 PM", "July 5, 2006 3:04 PM", "2006-07-05T10:00:00-0330", "Sat Nov  1 10:00:00 2014", "1.5", 1.5, "05 Jul 2006", "5th July 2006", "0001-01-01", "2024-06",
]
KEYS = ["name", "price", "active", "tags", "missing", "rank", "a b", "size", "first"]
NEEDLES = ["a", "b", " ", "", ",", "l", "o w", ".", "-", "  ", "\n", "ö", "本", "ab", "xyz", "1", "'", '"', "\\", "e"]
SEPARATED = ["Y", "C", "y", "m", "B", "b", "h", "j", "d", "e", "H", "I", "k", "l", "M", "S", "L", "N", "z", ":z", "::z", "Z", "A", "a", "u", "w", "G", "g",
             "V", "U", "W", "s", "n", "t", "%", "c", "D", "F", "v", "x", "X", "r", "R", "T", "p", "P", "EY", "Od"]
FLAGS = ["-", "0", "^", "#", "_", "-", "^", "", "", "", "", "", "", "", "3", "10", "05", "_5", "-3", "^10", "#^", "0^8", "1", "6"]
TEXTS = [" ", "x", "text ", "\n", "  \n  ", "Hello, ", "}", "{", "%", "é", " - ", "\t", "a\n b", "}}", "%}", "| ", "'", "{ {", "$", "\\"]

# The data's names by type. `missing` and `nope` are never there.
NAMES = {
    "int": ["i", "j", "big", "o.count", "ints[0]", "ints.first", "things[0].rank", "s.size", "ints.size", "o['count']", "deep.a.b.c", "ints[i]", "ints[-1]"],
    "small": ["i", "j"],
    "float": ["f", "g", "o.ratio", "floats[1]", "floats.last"],
    "str": ["s", "t", "o.name", "words[0]", "words.last", "o['a b']", "things.first.name", "deep.a.text", "o[key]"],
    "html": ["html"],
    "encoded": ["encoded"],
    "base64": ["b64"],
    "needle": ["needle"],
    "bool": ["yes", "no", "o.active"],
    "nil": ["none", "missing", "nope.x.y", "o.none", "ints[99]"],
    "list": ["ints", "words", "mixed", "nested", "floats", "empties", "o.list", "things[0].tags", "deep.a.list"],
    "objs": ["things", "others"],
    "obj": ["o", "eo", "things[0]", "deep", "deep.a"],
    "date": ["day"],
    "format": ["fmt"],
    "key": ["key"],
}
WRONG = ["int", "float", "str", "bool", "nil", "list", "objs", "obj", "date", "any"]
ROOT = re.compile(r"[A-Za-z_][\w-]*")


class Generator:
    """Makes one case after another from a seed."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.loop_names = []
        self.assigned = []

    def case(self):
        """Returns the next case: {"template", "data"}."""
        self.loop_names, self.assigned = [], []
        if self.chance(0.06):
            return self.with_data(self.newer())
        parts = self.block(self.random.choice([1, 1, 1, 2, 2, 3, 4]), 0)
        template = self.write(parts)
        if self.chance(0.15):
            template = self.damage(template)
        return self.with_data(template)

    def newer(self):
        """Returns a template of one output with a filter that Debian's Ruby gem does not have."""
        name = self.pick(list(NEWER_FILTERS))
        takes, arguments, gives = NEWER_FILTERS[name]
        if self.chance(0.1):
            return self.pick(["{% doc %}", "{%- doc -%}"]) + self.pick(["note", "", "{{ i }}", "{% if %}"]) + self.pick(["{% enddoc %}", "{% enddoc -%} "]) + self.pick(["x", ""])
        if name == "squish":
            return f"{{{{ {self.pick(['s', 't', 'o.name', 'words[0]', self.literal('str')])} | squish }}}}"
        if name == "sum" and self.chance(0.5):
            return f"{{{{ {self.pick(['ints', 'floats', '(1..j)', 'none'])} | sum }}}}"
        key = self.pick(["'price'", "'rank'"] if name == "sum" else ["'name'", "'price'", "'rank'", "'active'", "'missing'"])
        values = ["true", "nil"] if key == "'active'" else ["2", "5", "7", "nil", "'apple'", "'7'"]
        value = "" if name == "sum" or self.chance(0.4) else f", {self.pick(values)}"
        behind = {"objs": " | map: 'rank' | join: ','", "obj": " | default: 'none'"}.get(gives, "")
        if name == "find":
            return f"{{% assign v = things | find: {key}{value} %}}{{{{ v.rank }}}}"
        return f"{{{{ things | {name}: {key}{value}{behind} }}}}"

    def with_data(self, template):
        data = self.data()
        used = set(ROOT.findall(template))
        return {"template": template, "data": {name: value for name, value in data.items() if name in used}}

    # Chance.

    def chance(self, share):
        return self.random.random() < share

    def pick(self, options):
        return self.random.choice(options)

    # Data.

    def text(self):
        if self.chance(0.85):
            return self.pick(STRINGS)
        alphabet = self.pick(["abc ", "aé本👍 ", "<>&'\"x;#1", "01-+.e ", "\r\n\t x", "%+&=az ", "\\.*[]()^$?"])
        return "".join(self.pick(alphabet) for _ in range(self.random.randint(0, 12)))

    def integer(self):
        return self.pick(INTS) if self.chance(0.8) else self.random.randint(-50, 50)

    def float(self):
        return self.pick(FLOATS) if self.chance(0.7) else round(self.random.uniform(-1000, 1000), self.random.randint(0, 6))

    def scalar(self):
        return self.pick([self.integer, self.float, self.text, lambda: True, lambda: False, lambda: None])()

    def items(self, make, most=5):
        return [make() for _ in range(self.random.randint(0, most))]

    def thing(self):
        whole = {
            "name": self.pick(["apple", "Banana", "cherry", "apple", "", None, self.text()]),
            "price": self.pick([1, 2, 3, 2.5, 10, "7", None, 100]) if self.chance(0.3) else self.random.randint(1, 20),
            "rank": self.random.randint(1, 9),
            "active": self.pick([True, False, True, None]),
            "tags": self.items(lambda: self.pick(["x", "y", "z"]), 3),
        }
        return {name: value for name, value in whole.items() if self.chance(0.9)}

    def data(self):
        make_others = self.pick([self.thing, self.scalar, self.integer, self.text, lambda: self.pick([self.thing(), self.scalar()])])
        return {
            "i": self.random.randint(-3, 9),
            "j": self.random.randint(0, 4),
            "big": self.integer(),
            "f": self.float(),
            "g": self.float(),
            "s": self.text(),
            "t": self.text(),
            "html": self.pick(HTML),
            "encoded": self.pick(ENCODED),
            "b64": self.pick(BASE64),
            "needle": self.pick(NEEDLES),
            "yes": True,
            "no": False,
            "none": None,
            "ints": self.items(self.integer),
            "words": self.items(self.text),
            "floats": self.items(self.float),
            "mixed": self.items(self.scalar),
            "nested": self.items(lambda: self.pick([self.items(self.integer, 3), self.scalar(), [["q"], [None]]]), 4),
            "empties": self.pick([[], [None], [""], [[]], [{}], [None, None, 1], ["", " "]]),
            "things": self.items(self.thing, 4),
            "others": self.items(make_others, 4),
            "o": {"name": self.text(), "count": self.integer(), "ratio": self.float(), "active": self.chance(0.5), "none": None,
                  "list": self.items(self.scalar, 3), "a b": self.text(), "x": self.scalar()},
            "eo": self.pick([{}, {"k": 1}, {"size": 5, "first": "f"}, {"b": None, "a": [1, {"c": "d"}]}, {"q'\"": "é\n"}]),
            "deep": {"a": {"b": {"c": self.integer()}, "text": self.text(), "list": self.items(self.scalar, 3)}},
            "day": self.pick(DATES),
            "fmt": self.format(),
            "key": self.pick(KEYS),
        }

    def format(self):
        if self.chance(0.04):
            return self.pick(["", " ", "%", "%%", "%Q", "%E", "plain", "%-", "%:", "%5", "%é", "%Ey", "%Od"])
        parts = []
        for _ in range(self.random.randint(1, 4)):
            parts.append("%" + (self.pick(FLAGS) if self.chance(0.5) else "") + self.pick(SEPARATED))
        return self.pick([" ", "-", "", "/"]).join(parts)

    # Expressions.

    def quote(self, text):
        quotes = [quote for quote in "'\"" if quote not in text]
        if not quotes or "%}" in text or "}}" in text:
            return "'x'"
        quote = self.pick(quotes)
        return f"{quote}{text}{quote}"

    def literal(self, kind):
        if kind in ("int", "num"):
            return str(self.integer())
        if kind == "small":
            return str(self.pick([0, 1, 2, 3, 5, 10, -1, -2, -3, 100, 20, "'3'", "'x'", "2.7", 10**20]) if self.chance(0.3) else self.random.randint(-4, 12))
        if kind == "float":
            return format(self.pick([number for number in FLOATS if 1e-4 <= abs(number) < 1e15]), "")
        if kind == "bool":
            return self.pick(["true", "false"])
        if kind == "nil":
            return self.pick(["nil", "null"])
        if kind == "range":
            low, high = (self.pick([str(self.random.randint(-2, 5)), "i", "j", "ints.size"]) for _ in range(2))
            return f"({low}..{high})"
        if kind in ("html", "encoded", "base64", "needle", "key"):
            return self.quote(self.pick({"html": HTML, "encoded": ENCODED, "base64": BASE64, "needle": NEEDLES, "key": KEYS}[kind]))
        if kind == "date":
            day = self.pick(DATES)
            return self.quote(day) if isinstance(day, str) else str(day)
        if kind == "format":
            return self.quote(self.format())
        return self.quote(self.text())

    def expression(self, kind):
        """Returns an expression that is mostly of the type `kind`."""
        if self.chance(0.07):
            kind = self.pick(WRONG)
        if kind == "any":
            kind = self.pick(["int", "float", "str", "bool", "nil", "list", "obj", "objs", "str", "int"])
        if kind == "str_or_list":
            kind = self.pick(["str", "str", "list"])
        if kind == "num":
            kind = self.pick(["int", "int", "float", "float", "str" if self.chance(0.3) else "int"])
        if self.chance(0.06) and self.assigned:
            return self.pick(self.assigned)
        if self.chance(0.12) and self.loop_names:
            name = self.pick(self.loop_names)
            return name if self.chance(0.6) else f"{name}.{self.pick(['name', 'price', 'tags', 'first', 'size'])}"
        if self.chance(0.02):
            return self.pick(["blank", "empty", "forloop.index", "forloop.last", "tablerowloop.col", "['s']", "o[nope]", "o[ints]", "words['0']", "ints['first']", "s[0]", "o.name.size.x", "i.size", "yes.first", "blank.size", "true.x", "'a'.size", "nil.x"])
        no_literal = kind in ("list", "objs", "obj")
        if kind == "range" or (not no_literal and self.chance(0.45)):
            return self.literal(kind)
        return self.pick(NAMES[kind])

    def filter(self, kind):
        """Returns one filter as text, for an input of type `kind`, and the type of its result."""
        fitting = [name for name, (takes, _, _) in FILTERS.items() if takes == kind or takes == "any" or {takes, kind} <= {"num", "int", "float"}]
        names = fitting if fitting and self.chance(0.7) else list(FILTERS)
        name = self.pick(names)
        takes, arguments, gives = FILTERS[name]
        written = []
        for argument in arguments:
            if argument.startswith("?") and self.chance(0.45):
                break
            written.append(self.expression(argument.lstrip("?")))
        if name == "default" and self.chance(0.4):
            written.append(f"allow_false: {self.pick(['true', 'false', 'yes', 'none', '1'])}")
        if self.chance(0.015):
            written = written[:-1] if self.chance(0.5) else [*written, self.expression("any")]
        colon = self.pick([": ", ": ", ": ", ":", " : "])
        return name + (colon + self.pick([", ", ", ", ",", " , "]).join(written) if written else ""), gives

    def output(self):
        """Returns an expression with filters."""
        if self.chance(0.75):
            name = self.pick(list(FILTERS))
            kind = FILTERS[name][0]
            if name in KEYED and self.chance(0.5):
                kind = "objs"
            text = self.literal("range") if kind == "list" and self.chance(0.08) else self.expression(kind)
            takes, arguments, gives = FILTERS[name]
            written = []
            for argument in arguments:
                if argument.startswith("?") and self.chance(0.45):
                    break
                written.append(self.expression(argument.lstrip("?")))
            if name == "default" and self.chance(0.4):
                written.append(f"allow_false: {self.pick(['true', 'false', 'yes', 'none'])}")
            text += f" | {name}" + (": " + ", ".join(written) if written else "")
        else:
            gives = self.pick(["int", "float", "str", "any", "list", "obj", "nil", "bool"])
            text = self.expression(gives)
        for _ in range(self.pick([0, 0, 0, 1, 1, 2])):
            written, gives = self.filter(gives)
            text += self.pick([" | ", " | ", "|", " |"]) + written
        if gives in ("list", "objs") and self.chance(0.5):
            text += " | join: ','"
        return text

    def condition(self):
        parts = []
        for _ in range(self.pick([1, 1, 1, 2, 3])):
            choice = self.random.random()
            if choice < 0.2:
                parts.append(self.expression("any"))
            elif choice < 0.4:
                left = self.expression(self.pick(["str", "list", "obj", "any"]))
                parts.append(f"{left} contains {self.expression(self.pick(['str', 'int', 'needle', 'any', 'key']))}")
            elif choice < 0.6:
                parts.append(f"{self.expression('any')} {self.pick(['==', '!=', '<>'])} {self.pick(['blank', 'empty', 'nil', 'true', 'false'])}")
            else:
                kind = self.pick(["int", "float", "num", "str", "any", "num"])
                space = self.pick([" ", " ", " ", ""])
                parts.append(f"{self.expression(kind)}{space}{self.pick(['==', '!=', '<>', '<', '>', '<=', '>='])}{space}{self.expression(kind)}")
        text = parts[0]
        for part in parts[1:]:
            text += f" {self.pick(['and', 'or'])} {part}"
        return text

    # Nodes: lists of ("text", s), ("output", s), ("tag", s), ("raw", s).

    def block(self, length, depth, blank=False):
        parts = []
        for _ in range(length):
            if blank:
                parts += self.pick([lambda: [("text", self.pick([" ", "\n", "  "]))], self.assign, self.capture_blank, self.comment])()
            else:
                parts += self.node(depth)
        return parts

    def inner(self, depth):
        if self.chance(0.15):
            return self.block(self.random.randint(0, 3), depth + 1, blank=True)
        return self.block(self.pick([0, 1, 1, 1, 2, 2, 3]), depth + 1)

    def node(self, depth):
        makers = [(self.text_node, 14), (self.output_node, 40), (self.assign, 7), (self.comment, 2), (self.raw, 1.5), (self.echo, 2), (self.cycle, 2), (self.increment, 3)]
        if depth < 3:
            makers += [(maker, weight) for maker, weight in [
                (lambda: self.if_node(depth), 9), (lambda: self.case_node(depth), 6), (lambda: self.for_node(depth), 12),
                (lambda: self.tablerow(depth), 3), (lambda: self.ifchanged(depth), 2), (lambda: self.capture(depth), 4), (lambda: self.liquid(depth), 3)]]
        if self.loop_names:
            makers += [(lambda: [("tag", self.pick(["break", "continue"]))], 2), (self.loop_output, 14)]
        [maker] = self.random.choices([maker for maker, _ in makers], [weight for _, weight in makers])
        return maker()

    def text_node(self):
        return [("text", self.pick(TEXTS))]

    def output_node(self):
        return [("output", self.output())]

    def echo(self):
        return [("tag", f"echo {self.output()}")]

    def loop_output(self):
        choices = ["forloop.index", "forloop.index0", "forloop.rindex", "forloop.rindex0", "forloop.first", "forloop.last", "forloop.length", "forloop.name",
                   "forloop.parentloop.index", "forloop.parentloop.first", "tablerowloop.col", "tablerowloop.col0", "tablerowloop.row", "tablerowloop.index", "tablerowloop.col_first",
                   "tablerowloop.col_last", "tablerowloop.first", "tablerowloop.last", "tablerowloop.rindex", "tablerowloop.length", "forloop.parentloop.parentloop.index"]
        names = choices[:10] * 3 + choices + self.loop_names * 6
        return [("output", self.pick(names))]

    def assign(self):
        name = self.pick(["i", "s", "item", "my-var", "q?" if self.chance(0.1) else "u"] if self.chance(0.1) else ["v", "w"])
        made = [("tag", f"assign {name} = {self.output()}")]
        self.assigned.append(name)
        return made

    def capture_blank(self):
        return [("tag", f"capture {self.pick(['v', 'w'])}"), ("text", " c "), ("tag", "endcapture")]

    def capture(self, depth):
        name = self.pick(["v", "w", "i"])
        made = [("tag", f"capture {self.pick([name, name, repr(name)])}"), *self.inner(depth), ("tag", "endcapture")]
        self.assigned.append(name)
        return made + ([("output", name)] if self.chance(0.6) else [])

    def increment(self):
        return [("tag", f"{self.pick(['increment', 'decrement'])} {self.pick(['c', 'i', 'c', 'v'])}") for _ in range(self.random.randint(1, 3))]

    def cycle(self):
        group = self.pick(["", "", "", "'g': ", "s: ", "i: ", "\"a b\": "])
        values = [self.pick(["'a'", "'b'", "'c'", "1", "2.5", "s", "i", "missing", "nil", "true", "'a,b'", "o.name", "things"]) for _ in range(self.random.randint(1, 4))]
        made = ("tag", f"cycle {group}{self.pick([', ', ',']).join(values)}")
        return [made] * self.pick([1, 1, 2, 3])

    def comment(self):
        if self.chance(0.3):
            return [("tag", self.pick(["# note", "#", "# a\n  # b", "#x | y", "# one\n two"]))]
        inside = self.pick(["note", "", "{{ i }}", "{% assign v = 3 %}", "{% comment %}n{% endcomment %}", "{% raw %}{% endcomment %}{% endraw %}", "{% unknown %}", "}}"])
        if self.chance(0.05):
            inside = self.pick(["{{ broken", "{% if %}", "{% for x %}", "{{ x | }}"])
        return [("raw", f"{{% comment %}}{inside}{{% endcomment %}}")]

    def raw(self):
        inside = self.pick(["plain", "{{ x }}", "{% if %}", "{{- y -}} ", "{% endraw" if self.chance(0.2) else "z", "}}{{", "", "{{ '{% endraw %}' }}", "{%- raw -%}"])
        trimmed = self.chance(0.05)
        return [("raw", f"{self.pick(['{%', '{%-'])} raw {'-%}' if trimmed else '%}'}{inside}{{%{'-' if trimmed else ''} endraw {self.pick(['%}', '-%}'])}")]

    def if_node(self, depth):
        name = self.pick(["if", "if", "if", "unless"])
        parts = [("tag", f"{name} {self.condition()}"), *self.inner(depth)]
        while self.chance(0.2):
            parts += [("tag", f"elsif {self.condition()}"), *self.inner(depth)]
        if self.chance(0.4):
            parts += [("tag", "else"), *self.inner(depth)]
        return [*parts, ("tag", f"end{name}")]

    def case_node(self, depth):
        kind = self.pick(["int", "str", "num", "any", "small"])
        parts = [("tag", f"case {self.expression(kind)}")]
        if self.chance(0.2):
            parts.append(("text", self.pick(["x"] if self.chance(0.05) else [" ", "\n"])))
        for _ in range(self.random.randint(1, 3)):
            values = [self.pick([self.expression(kind), self.expression(kind), "blank", "empty", "i", "'a'", "1"]) for _ in range(self.pick([1, 1, 2, 3]))]
            parts += [("tag", f"when {self.pick([', ', ' or ']).join(values)}"), *self.inner(depth)]
        if self.chance(0.5):
            parts += [("tag", "else"), *self.inner(depth)]
        return [*parts, ("tag", "endcase")]

    def collection(self):
        return self.expression(self.pick(["list", "list", "objs", "range", "range", "obj", "any"]))

    def bounds(self):
        made = []
        if self.chance(0.3):
            made.append(f"limit:{self.pick(['', ' '])}{self.pick(['1', '2', '3', '0', 'i', 'j', '-1', 'nil', repr('2'), '1.5', 's'])}")
        if self.chance(0.3):
            made.append(f"offset:{self.pick(['', ' '])}{self.pick(['0', '1', '2', 'j', 'continue', 'continue', '-1', 'nil', repr('1'), '9'])}")
        self.random.shuffle(made)
        if self.chance(0.2):
            made.insert(0, "reversed")
        if self.chance(0.02):
            self.random.shuffle(made)
        return self.pick([" ", " ", ", " if self.chance(0.1) else " "]).join(made)

    def for_node(self, depth):
        name = self.pick(["item", "x", "x", "i"])
        parts = [("tag", f"for {name} in {self.collection()} {self.bounds()}".rstrip())]
        self.loop_names.append(name)
        parts += self.inner(depth)
        self.loop_names.pop()
        if self.chance(0.25):
            parts += [("tag", "else"), *self.inner(depth)]
        return [*parts, ("tag", "endfor")]

    def tablerow(self, depth):
        name = self.pick(["item", "x"])
        columns = self.pick(["", " cols: 2", " cols:3", " cols: j", " cols: nil", " cols: '2'", " cols: 0"] if self.chance(0.3) else ["", " cols: 2", " cols:3"])
        parts = [("tag", f"tablerow {name} in {self.collection()}{columns} {self.bounds().replace('reversed', '').replace('continue', '1')}".rstrip(" ,"))]
        self.loop_names.append(name)
        parts += self.inner(depth)
        self.loop_names.pop()
        return [*parts, ("tag", "endtablerow")]

    def ifchanged(self, depth):
        return [("tag", "ifchanged"), *self.inner(depth), ("tag", "endifchanged")]

    def liquid(self, depth):
        lines = []
        for kind, text in self.block(self.random.randint(1, 4), depth + 1):
            if kind == "output":
                lines.append(f"echo {text}")
            elif kind == "tag" and "\n" not in text:
                lines.append(text)
        indent = self.pick(["", "  "])
        return [("raw", "{% liquid\n" + "\n".join(indent + line for line in lines) + self.pick(["\n", " ", "\n\n"]) + "%}")]

    # Writing.

    def write(self, parts):
        controls = self.chance(0.3)
        out = []
        for at, (kind, text) in enumerate(parts):
            if kind == "output" and parts[at - 1][0] == "output" and self.chance(0.9):
                out.append(self.pick([" ", "|"]))
            if kind in ("text", "raw"):
                out.append(text)
                continue
            open_mark, close_mark = ("{{", "}}") if kind == "output" else ("{%", "%}")
            if controls and self.chance(0.3):
                open_mark += "-"
            if controls and self.chance(0.3):
                close_mark = "-" + close_mark
            space = self.pick([" ", " ", " ", " ", "", "  ", "\n"]) if self.chance(0.3) else " "
            out.append(f"{open_mark}{space}{text}{space}{close_mark}")
        return "".join(out)

    def damage(self, template):
        """Edits a few characters or tokens."""
        for _ in range(self.pick([1, 1, 1, 2])):
            tokens = [token for token in re.split(r"(\s+|[\w]+|[^\w\s])", template) if token]
            if not tokens:
                return template
            at = self.random.randrange(len(tokens))
            choice = self.random.random()
            if choice < 0.3:
                del tokens[at]
            elif choice < 0.45:
                tokens.insert(at, tokens[at])
            elif choice < 0.6:
                other = self.random.randrange(len(tokens))
                tokens[at], tokens[other] = tokens[other], tokens[at]
            elif choice < 0.85:
                tokens.insert(at, self.pick(["%", "{", "}", "|", ":", ",", "'", '"', ".", "-", "(", ")", "[", "]", "=", "==", " ", "&", "!", "?", "..", "{{", "%}", "#", "0", "é", "or", "and", "not", "in", "end"]))
            else:
                tokens[at] = self.pick(["if", "else", "endif", "endfor", "nil", "upcase", "x", "1", "|", "%}", "}}", "nofilter", "notag", "elsif", "when", "break", "case"])
            template = "".join(tokens)
        return template
