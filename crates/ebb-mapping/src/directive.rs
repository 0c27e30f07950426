//! Maps with a key that starts with `$`: a literal, a column, a template, a look-up, and their options.

use ebb_row::{Nulls, Value};
use ebb_template::{Form, Language};

use crate::compile::{Compiler, LookupPlace, Place, is_template};
use crate::convert::ValueType;
use crate::nearest::{nearest, suggest};
use crate::node::{Key, Node, NodeKind};
use crate::rule::{Accepts, Origin, Rule};

/// The directives, `$columns` apart: that one is part of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Directive {
    Value,
    Column,
    Template,
    Lookup,
}

const DIRECTIVES: [&str; 5] = ["$value", "$column", "$template", "$lookup", "$columns"];

impl Directive {
    fn from_word(word: &str) -> Option<Self> {
        match word {
            "$value" => Some(Self::Value),
            "$column" => Some(Self::Column),
            "$template" => Some(Self::Template),
            "$lookup" => Some(Self::Lookup),
            _ => None,
        }
    }

    /// The keys that may stand beside it.
    fn options(self) -> &'static [&'static str] {
        match self {
            Self::Value | Self::Column => &["default", "nulls", "type"],
            Self::Template => &["default", "nulls", "type", "language", "as"],
            Self::Lookup => &["externalId", "default", "nulls"],
        }
    }
}

/// What stands beside a directive.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    pub(crate) default: Option<Value>,
    pub(crate) nulls: Option<Nulls>,
    pub(crate) convert: Option<ValueType>,
    pub(crate) language: Option<Language>,
    pub(crate) form: Form,
}

impl Compiler<'_> {
    /// Compiles a map of which `head` is a directive; `None` after a fault.
    pub(crate) fn directive(&mut self, entries: &[(Key, Node)], head: &(Key, Node), place: &Place<'_>) -> Option<Rule> {
        let (key, argument) = head;
        let Some(directive) = Directive::from_word(&key.name) else {
            let hint = suggest(&key.name, "directives", DIRECTIVES).map(|hint| {
                format!("{hint} (a field whose name begins with `$` is written `\"{{{{ '{}' }}}}\"`)", key.name)
            });
            self.fault(key.at, &place.path, format!("unknown directive `{}`", key.name), hint);
            return None;
        };
        let mut options = Options::default();
        let free = place.free();
        let is_sound = self.options(entries, head, (directive, place), &mut options);
        // Behind a wrong option, what the value itself has of faults is told all the same.
        let place = if is_sound { place } else { &free };
        if !is_sound {
            options = Options { language: options.language, form: options.form, ..Options::default() };
        }
        let origin = match directive {
            Directive::Value => Origin::Literal(argument.literal()),
            Directive::Column => {
                let name = self.text(argument, place, "`$column` takes the name of a column")?;
                self.column(name, argument.at, place)?
            }
            Directive::Template => {
                let source = self.text(argument, place, "`$template` takes the text of a template")?;
                self.template(source, argument.at, place, &options)?
            }
            Directive::Lookup => self.lookup(entries, head, place)?,
        };
        self.finish(origin, argument.at, place, options)
    }

    fn text<'n>(&mut self, node: &'n Node, place: &Place<'_>, message: &str) -> Option<&'n str> {
        if let NodeKind::Text(text) = &node.kind {
            return Some(text);
        }
        self.fault(node.at, &place.path, message, Some("put it in quotes"));
        None
    }

    /// Reads what stands beside a directive; false after a fault.
    fn options(
        &mut self,
        entries: &[(Key, Node)],
        head: &(Key, Node),
        (directive, place): (Directive, &Place<'_>),
        options: &mut Options,
    ) -> bool {
        let mut is_sound = true;
        for (key, node) in entries.iter().filter(|entry| entry.0 != head.0) {
            if directive.options().contains(&key.name.as_str()) {
                is_sound &= self.option(key, node, place, options).is_some();
            } else {
                self.unknown_option(key, &head.0, directive, place);
                is_sound = false;
            }
        }
        is_sound
    }

    /// Reads one option; `None` after a fault.
    fn option(&mut self, key: &Key, node: &Node, place: &Place<'_>, options: &mut Options) -> Option<()> {
        match key.name.as_str() {
            "default" => options.default = self.default(node, place)?,
            "nulls" => options.nulls = Some(self.word(key, node, place, (&["send", "omit"], nulls_of))?),
            "type" => {
                let words = ValueType::ALL.map(ValueType::word);
                options.convert = Some(self.word(key, node, place, (&words, ValueType::from_word))?);
            }
            "language" => {
                let words = [Language::Liquid, Language::Jinja].map(Language::word);
                let language = self.word(key, node, place, (&words, Language::from_word));
                // A misspelt word is one fault, and the template is read in the language that was meant.
                options.language = language;
                if let (None, NodeKind::Text(word)) = (language, &node.kind) {
                    options.language = nearest(word, words).and_then(Language::from_word);
                }
                language?;
            }
            "as" => {
                let words = [Form::Text, Form::Json].map(Form::word);
                let read = |word: &str| Form::from_word(word).filter(|form| words.contains(&form.word()));
                options.form = self.word(key, node, place, (&words, read))?;
            }
            // `externalId` is read with its look-up.
            _ => {}
        }
        Some(())
    }

    fn unknown_option(&mut self, key: &Key, head: &Key, directive: Directive, place: &Place<'_>) {
        if DIRECTIVES.contains(&key.name.as_str()) {
            let message = format!("`{}` and `{}` do not stand together", head.name, key.name);
            self.fault(key.at, &place.path, message, None::<String>);
            return;
        }
        let hint = if directive == Directive::Lookup && key.name == "type" {
            Some("write it at the external id: `externalId: { $column: ids, type: list }`".to_owned())
        } else {
            suggest(&key.name, "its options", directive.options().iter().copied())
        };
        self.fault(key.at, &place.path, format!("`{}` has no option `{}`", head.name, key.name), hint);
    }

    /// Reads a literal; `Some(None)` when it is null, `None` after a fault.
    #[expect(clippy::option_option, reason = "a fault and a null are two things")]
    fn default(&mut self, node: &Node, place: &Place<'_>) -> Option<Option<Value>> {
        let is_mapping = match &node.kind {
            NodeKind::Text(text) => is_template(text),
            NodeKind::Map(entries) => entries.iter().any(|(key, _)| DIRECTIVES.contains(&key.name.as_str())),
            NodeKind::Null | NodeKind::Bool(_) | NodeKind::Number(_) | NodeKind::List(_) => false,
        };
        if is_mapping {
            let hint = "in a template, the filter `default` takes any value: `{{ row.a | default: row.b }}`";
            self.fault(node.at, &place.path, "`default` takes a literal value", Some(hint));
            return None;
        }
        let literal = self.literal(&node.literal(), None, node.at, place)?;
        Some(Some(literal).filter(|literal| !literal.is_null()))
    }

    /// Reads one of a few words; `None` after a fault.
    fn word<T>(
        &mut self,
        key: &Key,
        node: &Node,
        place: &Place<'_>,
        words: (&[&str], impl Fn(&str) -> Option<T>),
    ) -> Option<T> {
        let (listed, read) = words;
        let NodeKind::Text(word) = &node.kind else {
            let message = format!("`{}` takes one of: {}", key.name, listed.join(", "));
            self.fault(node.at, &place.path, message, None::<String>);
            return None;
        };
        let value = read(word);
        if value.is_none() {
            let hint = suggest(word, "the choices", listed.iter().copied());
            self.fault(node.at, &place.path, format!("`{}` cannot be `{word}`", key.name), hint);
        }
        value
    }

    fn lookup(&mut self, entries: &[(Key, Node)], head: &(Key, Node), place: &Place<'_>) -> Option<Origin> {
        let (key, argument) = head;
        let object = self.text(argument, place, "`$lookup` takes the name of an object")?;
        let Some((_, external_id)) = entries.iter().find(|(key, _)| key.name == "externalId") else {
            let hint = format!("`{{ $lookup: {object}, externalId: column }}`");
            self.fault(key.at, &place.path, "`$lookup` needs `externalId`", Some(hint));
            return None;
        };
        let inner = Place {
            path: place.path.clone(),
            accepts: Accepts::ExternalId,
            lookup: LookupPlace::Nothing,
            depth: place.depth,
            nulls: Nulls::Send,
        };
        let external_id = self.value(external_id, &inner);
        match place.lookup {
            LookupPlace::Anything => {}
            LookupPlace::Of(wanted) if wanted == object => {}
            LookupPlace::Of(wanted) => {
                let message = format!("holds ids of `{wanted}`, not of `{object}`");
                self.fault(argument.at, &place.path, message, None::<String>);
            }
            LookupPlace::Nothing => {
                self.fault(
                    key.at,
                    &place.path,
                    "takes no look-up",
                    Some("it takes your own value: map the column itself"),
                );
            }
        }
        let external_id = Box::new(external_id?);
        Some(Origin::Lookup { object: object.into(), external_id })
    }
}

fn nulls_of(word: &str) -> Option<Nulls> {
    match word {
        "send" => Some(Nulls::Send),
        "omit" => Some(Nulls::Omit),
        _ => None,
    }
}
