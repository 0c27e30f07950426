"""Where ebb differs from Ruby's Liquid on purpose. Each has its line in docs/templates.md, under the same name.

There are three ways to tell that a difference is what makes two answers differ, each as narrow as it can be:

- VARIANTS: Ruby is asked again and does as ebb does in this one point (`as` in ruby_liquid.rb); then both agree.
- REWRITES: both are asked again for a template without the thing that is to blame; then both agree.
- FAULTS: one of them refuses, and says why in words that nothing else has.
"""

import functools
import re


class Disagreement:
    """A case with the reference's answer and ebb's."""

    def __init__(self, case, theirs, ours):
        self.case = case
        self.template = case["template"]
        self.theirs = theirs
        self.ours = ours

    def only_ebb_fails(self, pattern):
        return self.theirs["ok"] and not self.ours["ok"] and re.search(pattern, self.ours["error"]) is not None

    def only_reference_fails(self, pattern):
        return self.ours["ok"] and not self.theirs["ok"] and re.search(pattern, self.theirs["error"]) is not None

    def has(self, pattern):
        return re.search(pattern, self.template) is not None

    def failing_tag(self):
        """Returns the tag at which ebb's error stands."""
        lines = self.template.split("\n")
        rest = "\n".join(lines[self.ours["line"] - 1:])[self.ours["column"] - 1:]
        found = re.match(r"(?:\{%-?)?\s*(\w+)", rest)
        return found.group(1) if found else None


VARIANTS = [
    "decimals", "ranges", "ranges as lists", "all letters", "size of a number", "division by zero", "whitespace", "sigma", "dates", "properties", "decoded text",
    "nil in base64", "backslashes", "capital tags", "ties", "counters", "cycles", "plus signs",
]


IN_CYCLE = r"\bcycle(?:(?!%\})[^\n])*(?:\n\s*(?=%\}))?"


def without_comments(template):
    return re.sub(r"(\{%-?\s*comment\b[^}]*%\}).*?(\{%-?\s*endcomment\b[^}]*%\})", r"\1\2", template, flags=re.S)


def without_quoted_commas(template):
    """Empties texts with a comma behind `cycle`."""
    return re.sub(IN_CYCLE, lambda tag: re.sub(r"'[^']*,[^']*'|\"[^\"]*,[^\"]*\"", "''", tag.group()), template)


def without_quoted_braces(template):
    return re.sub(r"'[^']*'|\"[^\"]*\"", lambda text: re.sub(r"[{}]|%(?=['\"}])", "", text.group()), template)


def without_nil_in_cycle(template):
    return re.sub(IN_CYCLE, lambda tag: re.sub(r"\b(nil|null)\s*,|,\s*(nil|null)\b", "", tag.group()), template)


def without_trims_of_raw(template):
    return re.sub(r"\{%-?\s*(raw|endraw)\s*-?%\}", r"{% \1 %}", template)


def without_interrupts_in_rows(template):
    if "tablerow" not in template:
        return template
    return re.sub(r"\{%-?\s*(break|continue)\s*-?%\}|\b(break|continue)(?=\s*(\n|-?%\}))", "", template)


def with_blanks_between_bounds(template):
    template = re.sub(r"(?<=\d)(?=(?:or|and)\b)", " ", template)
    template = re.sub(r"\(\s*(\S+?)\s*\.\.\s*(\S+?)\s*\)", r"(\1..\2)", template)
    return re.sub(r"(?<=[^\s,])(?=(?:limit|offset|cols)\s*:)", " ", template)


VALUE = r"('[^']*'|\"[^\"]*\"|\([^)]*\)|[^\s%<>=]+)"


def without_order_with_blank(template):
    template = re.sub(r"\bcase\s+(blank|empty)\b", "case ''", template)
    template = re.sub(rf"\b(blank|empty)\s*(contains\s|[<>]=?)\s*{VALUE}", "false", template)
    return re.sub(rf"{VALUE}\s*[<>]=?\s*(blank|empty)\b", "false", template)


def without_contents_of_raw(template):
    return re.sub(r"(\{%-?\s*raw\s*-?%\}).*?(\{%-?\s*endraw\s*-?%\})", r"\1\2", template, flags=re.S)


def without_empty_liquid(template):
    return re.sub(r"\{%-?\s*liquid\s*-?%\}", "", template)


REWRITES = {
    "empty liquid": without_empty_liquid,
    "braces in raw": without_contents_of_raw,
    "order with blank": without_order_with_blank,
    "nil in cycle": without_nil_in_cycle,
    "trimmed raw": without_trims_of_raw,
    "break in tablerow": without_interrupts_in_rows,
    "comments": without_comments,
    "blanks between bounds": with_blanks_between_bounds,
    "commas in cycle": without_quoted_commas,
    "braces in quotes": without_quoted_braces,
}

READ_LOOSELY = {"case", "when", "else", "cycle", "increment", "decrement", "capture", "tablerow", "ifchanged", "break", "continue"}


def strict_tags(one):
    misread = "unexpected|missing|is a call|Liquid has no|is not closed|inside an expression|only whitespace|quote|needs|expected"
    if one.only_ebb_fails(misread) and one.failing_tag() in READ_LOOSELY:
        return True
    if one.only_ebb_fails("does not end the block") and one.has(r"end[a-z]+[^\sa-z%}-]"):
        return True
    if one.only_ebb_fails("`(raw|comment)` is not closed") and one.has(r"end(raw|comment)(?!\s*-?%\})"):
        return True
    if one.theirs["ok"] and one.ours["ok"] and one.has(r"\{%-?\s*raw\b.*endraw(?!\s*-?%\})"):
        return True
    if one.only_ebb_fails("`else` stands outside") and len(re.findall(r"\belse\b", one.template)) > 1:
        return True
    return one.only_ebb_fails(
        "cannot be given a value|inline comment starts with|a variable's name is missing|a value is missing|`=` is missing after"
        "|a quote is not closed|unexpected text after `end")


def quoted_braces(one):
    if one.only_reference_fails("not properly terminated|Unexpected character"):
        return one.has(r"'[^']*\}[^']*'|\"[^\"]*\}[^\"]*\"")
    return one.only_reference_fails("SyntaxError") and one.has(r"'[^']*[%}]\}[^']*'|\"[^\"]*[%}]\}[^\"]*\"")


def other_letters(one):
    if one.only_reference_fails(r"Unexpected character [^\x00-\x7f]"):
        return True
    if one.only_reference_fails("'assign'"):
        return one.has(r"assign\s+\S*[^\x00-\x7f]")
    return one.theirs["ok"] and one.ours["ok"] and one.has(r"(case|when|cycle|capture|tablerow|increment|decrement)\s[^%'\"]*[^\x00-\x7f]")


FAULTS = {
    "checked before any row": lambda one: one.only_ebb_fails(r"unknown filter `|unknown tag `|filter `\w+` (takes|needs|has no argument)"),
    "properties": lambda one: one.only_ebb_fails("which has no properties"),
    "braces in raw": lambda one: one.only_reference_fails("'raw' tag was never closed") and one.has(r"\{\{[^}]*\{%-?\s*endraw"),
    "comments": lambda one: one.only_reference_fails("Unknown tag 'endcomment'|'comment' tag was never closed") and one.has(r"comment(?!\s*-?%\})"),
    "beyond 128 bits": lambda one: one.theirs["ok"] and one.ours["ok"] and re.search(r"\d{39}", str(one.case)) is not None,
    "digit groups": lambda one: one.only_ebb_fails("needs a whole number") and re.search(r"\d_\d", str(one.case)) is not None,
    "trimmed raw": lambda one: one.only_reference_fails("'raw' tag was never closed") and one.has(r"\{%-\s*endraw"),
    "strict tags": strict_tags,
    "commas in loops": lambda one: one.only_reference_fails("Expected end_of_string but found comma in .*\\bin\\b"),
    "braces in quotes": quoted_braces,
    "letters of names": other_letters,
    "a lone %": lambda one: one.only_reference_fails("invalid format"),
    "formats without a directive": lambda one: one.only_ebb_fails("date: the format has no directive") and one.has(r"\|\s*date\s*:\s*('[^'%]+'|\"[^\"%]+\")"),
    "zone of a date": lambda one: one.only_reference_fails(r"given 3, expected 2\)") and one.has(r"\|\s*date\s*:") or one.only_ebb_fails("the time zone is unknown"),
    "blank behind contains": lambda one: one.only_reference_fails("Expected end_of_string but found id") and one.has(r"contains['\"\[]"),
    "large numbers": lambda one: one.only_reference_fails("too (big|small)") or one.only_ebb_fails("needs a whole number") and re.search(r"\d{19}", str(one.case)) is not None,
    "order with blank": lambda one: one.only_ebb_fails("cannot be ordered") and one.has("[<>]=?\\s*(blank|empty)|(blank|empty)\\s*[<>]"),
    "blanks between bounds": lambda one: one.only_reference_fails("table_row loop") and one.has(r"\bin\("),
    "order of bounds": lambda one: one.only_reference_fails("Expected end_of_string but found id in .* in .*reversed"),
    "whole numbers": lambda one: one.only_reference_fails("invalid integer") and re.search(r"\d\.0\b", str(one.case)) is not None,
}

def names():
    """Returns the names of all differences."""
    return sorted({*VARIANTS, *REWRITES, *FAULTS})


NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e[+-]\d+)?")
RUN = re.compile(r"[-+.e\d]*\d[-+.e\d]*")


def same_but_digits(theirs, ours):
    """The same text but for how numbers are written: equal to 15 digits, and a zero has no sign."""
    if RUN.sub("#", theirs) != RUN.sub("#", ours):
        return False
    return all(same_numbers(their, our) for their, our in zip(RUN.findall(theirs), RUN.findall(ours)))


@functools.cache
def same_numbers(theirs, ours):
    """Whether two runs of digits can be read as the same numbers; printed without a blank between, they touch."""
    if theirs == ours:
        return True
    if not theirs or not ours or len(theirs) > 200:
        return False
    if theirs[0] == ours[0] and same_numbers(theirs[1:], ours[1:]):
        return True
    return any(
        format(float(their) + 0.0, ".15g") == format(float(our) + 0.0, ".15g") and same_numbers(theirs[len(their):], ours[len(our):])
        for their in numbers_at(theirs) for our in numbers_at(ours))


def numbers_at(text):
    """Returns every number that a text begins with."""
    lengths = {end for end in range(1, len(text) + 1) if NUMBER.fullmatch(text, 0, end)}
    return [text[:end] for end in sorted(lengths, reverse=True)]


FRACTION = re.compile(r"(\d)(?:\.\d+(?:e[+-]?\d+)?|e[+-]?\d+)(?![\w.])")


def without_fractions(value):
    """Cuts the fractions off all numbers of the data, and off those in texts."""
    if isinstance(value, dict):
        return {name: without_fractions(field) for name, field in value.items()}
    if isinstance(value, list):
        return [without_fractions(item) for item in value]
    if isinstance(value, float):
        return int(value)
    return FRACTION.sub(r"\1", value) if isinstance(value, str) else value


def has_fraction(case):
    """Whether a number with a fraction is in the data or the template: only then may digits differ."""
    return re.search(r"\d\.\d|\de[+-]", f"{case['template']} {case['data']}") is not None


def same(one, other):
    """The same text, or an error of both."""
    return one["ok"] == other["ok"] and one.get("text") == other.get("text") and not other.get("ended")


def explanation(case, theirs, ours, reference, ebb):
    """Returns the name of the difference that explains a disagreement of ebb with a reference, or None."""

    def explained(case, theirs, ours):
        if same(theirs, ours):
            return "agree"
        if theirs["ok"] and ours["ok"] and has_fraction(case) and same_but_digits(theirs["text"], ours["text"]):
            return "decimals"
        one = Disagreement(case, theirs, ours)
        return next((name for name, applies in FAULTS.items() if applies(one)), None)

    def again(template, variants, data=case["data"]):
        case_again = {"template": template, "data": data}
        return explained(case_again, reference.ask(case_again | {"as": variants}), ebb.ask(case_again))

    found = explained(case, theirs, ours)
    if found:
        return found
    for variant in VARIANTS:
        if again(case["template"], [variant]):
            return variant
    everything = case["template"]
    for name, rewrite in REWRITES.items():
        rewritten = rewrite(case["template"])
        if rewritten != case["template"] and again(rewritten, []) == "agree":
            return name
        everything = rewrite(everything)
    if again(everything, VARIANTS):
        return "several at once"
    # Digits that went through a filter on text cannot be compared; without a fraction there must be nothing to compare.
    if has_fraction(case) and again(without_fractions(everything), VARIANTS, without_fractions(case["data"])):
        return "decimals"
    return None
