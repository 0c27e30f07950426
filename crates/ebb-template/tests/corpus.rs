//! What the fuzz targets have found interesting, replayed on every build, and the words they put together.

#[path = "../../../fuzz/src/check.rs"]
mod check;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use ebb_template::{Language, filters};

/// What stands in a template beside the names of filters.
const LIQUID: &[&str] = &[
    "{{",
    "}}",
    "{%",
    "%}",
    "{{-",
    "-}}",
    "{%-",
    "-%}",
    "assign ",
    "blank",
    "break",
    "capture ",
    "case ",
    "comment",
    "continue",
    "cycle ",
    "decrement ",
    "doc",
    "echo ",
    "else",
    "elsif ",
    "empty",
    "endcapture",
    "endcase",
    "endcomment",
    "enddoc",
    "endfor",
    "endif",
    "endifchanged",
    "endraw",
    "endtablerow",
    "endunless",
    "false",
    "for x in ",
    "forloop.",
    "if ",
    "ifchanged",
    "increment ",
    "liquid",
    "limit:",
    "nil",
    "offset:",
    "raw",
    "reversed",
    "row.",
    "record.",
    "context.",
    "tablerow x in ",
    "true",
    "unless ",
    "when ",
    " and ",
    " or ",
    " contains ",
    "==",
    "!=",
    "<=",
    "(1..9)",
    ".size",
    ".first",
    ".last",
    "allow_false: true",
    "cols:",
    "\\x0a---\\x0a",
    "'now'",
    "'%Y-%m-%d'",
    "-9223372036854775808",
    "1e308",
    "\\xc3\\xa9",
    "[-1]",
];
const JINJA: &[&str] = &[
    "{{",
    "}}",
    "{%",
    "%}",
    "{{-",
    "-}}",
    "{%-",
    "-%}",
    "{#",
    "#}",
    "block",
    "break",
    "call ",
    "caller()",
    "continue",
    "do ",
    "elif ",
    "else",
    "endcall",
    "endfilter",
    "endfor",
    "endif",
    "endmacro",
    "endraw",
    "endset",
    "endwith",
    "false",
    "filter ",
    "for x in ",
    "if ",
    "loop.",
    "loop(",
    "macro m(x)",
    "namespace(x=1)",
    "none",
    "raw",
    "recursive",
    "row.",
    "record.",
    "context.",
    "set ns.x = ",
    "set x = ",
    "true",
    "with x = ",
    " and ",
    " or ",
    " not ",
    " in ",
    " is ",
    " ~ ",
    " ** ",
    " // ",
    "==",
    "!=",
    "range(9)",
    "dict(a=1)",
    "[::-1]",
    "|attr('x')",
    "|batch(2)",
    "|chain(x)",
    "|default('x')",
    "|dictsort",
    "|first",
    "|format(1)",
    "|groupby('x')",
    "|indent(2)",
    "|int",
    "|float",
    "|items",
    "|join(',')",
    "|length",
    "|list",
    "|lower",
    "|map('upper')",
    "|max",
    "|min",
    "|pprint",
    "|reject('none')",
    "|replace('a','b')",
    "|reverse",
    "|round(1)",
    "|safe",
    "|select",
    "|slice(2)",
    "|sort",
    "|split(',')",
    "|string",
    "|sum",
    "|title",
    "|tojson",
    "|trim",
    "|unique",
    "|upper",
    "|zip(x)",
    " is defined",
    " is divisibleby(2)",
    "\\x0a---\\x0a",
    "'now'",
    "1e308",
    "9223372036854775807",
    "\\xc3\\xa9",
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz")
}

fn replay(name: &str, language: Language) {
    let folder = folder().join("corpus").join(name);
    let entries = fs::read_dir(&folder).expect("a corpus");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an input").path()).collect();
    paths.sort();
    assert!(paths.len() > 50, "{name} has {} inputs", paths.len());
    let bytes: u64 = paths.iter().map(|path| fs::metadata(path).map_or(0, |file| file.len())).sum();
    assert!(paths.len() <= 400 && bytes <= 400 * 1024, "{name} has {} inputs of {bytes} bytes", paths.len());
    for path in paths {
        let input = fs::read(&path).expect("an input");
        check::check(&input, language, &mut |_, run| run());
    }
}

#[test]
fn the_liquid_corpus_holds() {
    replay("liquid", Language::Liquid);
}

#[test]
fn the_jinja_corpus_holds() {
    replay("jinja", Language::Jinja);
}

fn check_words(name: &str, words: &[&str], filter: impl Fn(&str) -> String) {
    let own = filters().iter().map(|one| filter(one.name));
    let words: BTreeSet<String> = words.iter().map(|word| (*word).to_owned()).chain(own).collect();
    let lines: Vec<String> = words.iter().map(|word| format!("\"{word}\"\n")).collect();
    let path = folder().join(name);
    let expected =
        format!("# Words for the fuzz target, from `crates/ebb-template/tests/corpus.rs`.\n{}", lines.concat());
    if fs::read_to_string(&path).ok().as_deref() == Some(expected.as_str()) {
        return;
    }
    if std::env::var_os("EBB_BLESS").is_some() {
        fs::write(&path, expected).expect("the words are written");
        return;
    }
    panic!("fuzz/{name} is out of date: run with EBB_BLESS=1");
}

#[test]
fn the_words_of_the_fuzz_targets_name_every_filter() {
    check_words("liquid.dict", LIQUID, |name| format!("| {name}: "));
    check_words("jinja.dict", JINJA, |name| format!("|{name}('x')"));
}
