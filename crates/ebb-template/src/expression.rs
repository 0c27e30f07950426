//! Parses what stands inside outputs and tags.

use std::sync::Arc;

use bigdecimal::BigDecimal;
use ebb_row::Value;

use crate::ast::{
    Condition, Expression, FilterCall, Filtered, Join, Lambda, LambdaBody, Operator, Path, PathRoot, Step, Test,
};
use crate::error::{Fault, did_you_mean};
use crate::filters::{Asks, Filter, filter, filters, meant};
use crate::limits::NESTING;
use crate::render::lookup::ColumnPlace;

/// Reads the markup of one tag or output from left to right.
#[derive(Debug)]
pub(crate) struct Cursor<'s> {
    text: &'s str,
    depth: usize,
}

/// What a value answers that has no field of this name.
const COMMANDS: [&str; 3] = ["size", "first", "last"];

/// Returns whether a name may start with this character.
fn starts_name(character: char) -> bool {
    character.is_alphabetic() || character == '_'
}

fn continues_name(character: char) -> bool {
    character.is_alphanumeric() || character == '_' || character == '-'
}

impl<'s> Cursor<'s> {
    pub(crate) fn new(text: &'s str) -> Self {
        Self { text: text.trim(), depth: 0 }
    }

    pub(crate) fn rest(&self) -> &'s str {
        self.text
    }

    fn peek(&self) -> Option<char> {
        self.text.chars().next()
    }

    fn advance(&mut self, bytes: usize) -> &'s str {
        let taken = self.text.get(..bytes).unwrap_or_default();
        self.text = self.text.get(bytes..).unwrap_or_default().trim_start();
        taken
    }

    /// Takes `symbol` if it comes next.
    pub(crate) fn take(&mut self, symbol: &str) -> bool {
        let found = self.text.starts_with(symbol);
        if found {
            self.advance(symbol.len());
        }
        found
    }

    /// Takes the word `word` if it comes next, whole.
    pub(crate) fn take_word(&mut self, word: &str) -> bool {
        let found = self.text.strip_prefix(word).is_some_and(|rest| !rest.starts_with(continues_name));
        if found {
            self.advance(word.len());
        }
        found
    }

    pub(crate) fn is_at_end(&self) -> bool {
        self.text.is_empty()
    }

    /// Refuses anything that is left.
    pub(crate) fn finish(&self) -> Result<(), Fault> {
        if self.is_at_end() { Ok(()) } else { Err(self.unexpected()) }
    }

    /// Describes what stands here and should not, with the way on where it looks like another language.
    pub(crate) fn unexpected(&self) -> Fault {
        let Some(next) = self.peek() else { return Fault::new("something is missing at the end") };
        let word: String = self.text.chars().take_while(|character| continues_name(*character)).collect();
        match (next, word.as_str()) {
            ('~', _) => Fault::jinja("`~` joins text in Jinja, not in Liquid"),
            (_, "if") => Fault::jinja("`if` stands inside an expression"),
            (_, "is" | "not" | "in") => Fault::jinja(&format!("Liquid has no `{word}`")),
            ('(', _) => Fault::jinja("unexpected `(`, since Liquid has no calls and no grouping"),
            ('[' | '{', _) => Fault::jinja(&format!("unexpected `{next}`")),
            ('+' | '*' | '/' | '%' | '-', _) => {
                Fault::new(format!("unexpected `{next}`, since Liquid has no arithmetic operators"))
                    .hint("use the filters `plus`, `minus`, `times`, `divided_by`, `modulo`")
            }
            ('?', _) if self.text.starts_with("??") => Fault::new("unexpected `??`").hint("use `default`"),
            ('?', _) => Fault::new("unexpected `?`").hint("use `{% if %}` and `{% else %}`"),
            ('\u{2018}'..='\u{201d}', _) => {
                Fault::new(format!("unexpected `{next}`")).hint("quotes are straight: `\"` or `'`")
            }
            ('&', _) => Fault::new("unexpected `&`").hint("write `and`"),
            ('=', _) if !self.text.starts_with("==") => Fault::new("unexpected `=`").hint("write `==` to compare"),
            (_, "or") => Fault::new("unexpected `or`").hint("use `default`, or `{% if %}` for a condition"),
            ('=' | '<' | '>' | '!', _) | (_, "contains" | "and") => {
                let sign = if word.is_empty() { next.to_string() } else { word };
                Fault::new(format!("unexpected `{sign}`")).hint("a comparison belongs in `{% if %}`")
            }
            ('|', _) if self.text.starts_with("||") => Fault::new("unexpected `||`").hint("write `or`"),
            ('|', _) => Fault::new("unexpected `|`")
                .hint("filters work in outputs and `assign`; assign the filtered value first and test that"),
            ('\'' | '"', _) => Fault::new("a quote is not closed, or stands in the wrong place"),
            (_, "present" | "presence") => Fault::new(format!("unexpected `{word}`")).hint("write `!= blank`"),
            _ if word.is_empty() => Fault::new(format!("unexpected `{next}`")),
            _ => Fault::new(format!("unexpected `{word}`")),
        }
    }

    /// Reads a name: letters, digits, `_`, `-`, with a `?` at the end allowed.
    pub(crate) fn name(&mut self) -> Option<&'s str> {
        if !self.text.starts_with(starts_name) {
            return None;
        }
        let mut length = self.text.find(|character| !continues_name(character)).unwrap_or(self.text.len());
        if self.text.get(length..).is_some_and(|rest| rest.starts_with('?')) {
            length += 1;
        }
        Some(self.advance(length))
    }

    /// Reads a value with its filters.
    pub(crate) fn filtered(&mut self) -> Result<Filtered, Fault> {
        let base = self.expression()?;
        let mut calls = Vec::new();
        while self.take("|") {
            calls.push(self.filter_call()?);
        }
        let writes_json = calls.last().is_some_and(|call| ["json", "jsonify", "raw"].contains(&call.filter.name));
        Ok(Filtered { base, filters: calls, writes_json })
    }

    fn filter_call(&mut self) -> Result<FilterCall, Fault> {
        let Some(name) = self.name() else {
            return Err(Fault::new("a filter's name is missing after `|`"));
        };
        if self.text.starts_with('(') {
            return Err(Fault::jinja(&format!("`{name}(…)` is a call; Liquid writes `{name}: …`")));
        }
        let filter = filter(name).ok_or_else(|| unknown_filter(name))?;
        let mut call = FilterCall { filter, positional: Vec::new(), named: Vec::new(), lambda: None };
        if self.take(":") {
            loop {
                self.argument(&mut call)?;
                if !self.take(",") {
                    break;
                }
            }
        }
        check_arguments(&call)?;
        if let Some(asks) = filter.asks {
            call.lambda = Some(Box::new(self.lambda(&call, asks)?));
        }
        Ok(call)
    }

    /// Reads the two literal texts of a filter such as `where_exp`: a name for the item, and what is asked of it.
    fn lambda(&self, call: &FilterCall, asks: Asks) -> Result<Lambda, Fault> {
        let text = |argument: &Expression| match argument {
            Expression::Literal(Value::Text(text)) => Some(Arc::clone(text)),
            Expression::Literal(_)
            | Expression::Blank
            | Expression::Empty
            | Expression::Range(_)
            | Expression::Path(_) => None,
        };
        let filter = call.filter.name;
        let literals: Option<Vec<Arc<str>>> = call.positional.iter().map(text).collect();
        let Some([name, body]) = literals.as_deref() else {
            let fault = Fault::new(format!("`{filter}` needs a name and an expression, both in quotes"));
            return Err(fault.hint(format!("`{filter}` {}", call.filter.usage())));
        };
        let mut cursor = Cursor { text: name.trim(), depth: self.depth };
        if cursor.name().is_none() || !cursor.is_at_end() {
            return Err(Fault::new(format!("`{filter}` needs a name for the item, such as \"item\"")));
        }
        let mut cursor = Cursor { text: body.trim(), depth: self.depth + 1 };
        if cursor.depth > NESTING {
            return Err(Fault::new(format!("brackets nest deeper than {NESTING}")));
        }
        let body = match asks {
            Asks::Condition => cursor.condition().map(LambdaBody::Condition),
            Asks::Value => cursor.filtered().and_then(|value| cursor.finish().map(|()| value)).map(LambdaBody::Value),
        };
        let body = body.map_err(|fault| Fault { message: format!("`{filter}`: {}", fault.message).into(), ..fault })?;
        Ok(Lambda { name: name.trim().into(), body })
    }

    fn argument(&mut self, call: &mut FilterCall) -> Result<(), Fault> {
        let before = self.text;
        if let Some(name) = self.name()
            && self.take(":")
        {
            let known =
                call.filter.named.iter().find(|known| **known == name).ok_or_else(|| {
                    Fault::new(format!("filter `{}` has no argument called `{name}`", call.filter.name))
                })?;
            call.named.push((known, self.expression()?));
            return Ok(());
        }
        self.text = before;
        call.positional.push(self.expression()?);
        Ok(())
    }

    /// Reads a condition; `and` and `or` are of one strength and group from the right.
    pub(crate) fn condition(&mut self) -> Result<Condition, Fault> {
        let mut tests = Vec::new();
        loop {
            let test = self.test()?;
            let join = if self.take_word("and") {
                Some(Join::And)
            } else if self.take_word("or") {
                Some(Join::Or)
            } else {
                None
            };
            tests.push((test, join.unwrap_or(Join::And)));
            if join.is_none() {
                self.finish()?;
                return Ok(Condition { tests });
            }
        }
    }

    fn test(&mut self) -> Result<Test, Fault> {
        if self.text.starts_with("not ") {
            return Err(Fault::jinja("Liquid has no `not`; write `unless`, or compare with `== false`"));
        }
        let left = self.expression()?;
        Ok(match self.operator() {
            Some(operator) => Test::Compare(left, operator, self.expression()?),
            None => Test::Truth(left),
        })
    }

    fn operator(&mut self) -> Option<Operator> {
        const SIGNS: [(&str, Operator); 7] = [
            ("==", Operator::Equal),
            ("!=", Operator::NotEqual),
            ("<>", Operator::NotEqual),
            ("<=", Operator::LessOrEqual),
            (">=", Operator::GreaterOrEqual),
            ("<", Operator::Less),
            (">", Operator::Greater),
        ];
        if self.take_word("contains") {
            return Some(Operator::Contains);
        }
        SIGNS.into_iter().find(|(sign, _)| self.take(sign)).map(|(_, operator)| operator)
    }

    /// Reads a literal, a range or a path.
    pub(crate) fn expression(&mut self) -> Result<Expression, Fault> {
        self.depth += 1;
        if self.depth > NESTING {
            return Err(Fault::new(format!("brackets nest deeper than {NESTING}")));
        }
        let expression = self.expression_inside()?;
        self.depth -= 1;
        Ok(expression)
    }

    fn expression_inside(&mut self) -> Result<Expression, Fault> {
        match self.peek() {
            Some('\'' | '"') => Ok(Expression::Literal(Value::from(self.quoted()?))),
            Some('(') => self.range(),
            Some('[') => {
                let inner = self.bracketed()?;
                self.path(if let Expression::Literal(Value::Text(name)) = inner {
                    PathRoot::Name(name)
                } else {
                    PathRoot::Computed(Box::new(inner))
                })
            }
            Some(next) if next.is_ascii_digit() => self.number(),
            Some('-') if self.text.chars().nth(1).is_some_and(|digit| digit.is_ascii_digit()) => self.number(),
            Some(_) => {
                let Some(name) = self.name() else { return Err(self.unexpected()) };
                if self.text.starts_with(['.', '[']) && !self.text.starts_with("..") {
                    return self.path(PathRoot::Name(name.into()));
                }
                if self.text.starts_with('(') {
                    return Err(Fault::jinja(&format!("`{name}(…)` is a call, which Liquid does not have")));
                }
                Ok(match name {
                    "true" => Expression::Literal(Value::Bool(true)),
                    "false" => Expression::Literal(Value::Bool(false)),
                    "nil" | "null" => Expression::Literal(Value::Null),
                    "blank" => Expression::Blank,
                    "empty" => Expression::Empty,
                    _ => return self.path(PathRoot::Name(name.into())),
                })
            }
            None => Err(Fault::new("a value is missing")),
        }
    }

    fn path(&mut self, root: PathRoot) -> Result<Expression, Fault> {
        let mut steps = Vec::new();
        loop {
            if self.text.starts_with('[') {
                let inner = self.bracketed()?;
                steps.push(if let Expression::Literal(Value::Text(key)) = inner {
                    Step::Key { key, is_command: false }
                } else if let Expression::Literal(Value::Int(index)) = inner {
                    Step::Index(index)
                } else {
                    Step::Computed(inner)
                });
            } else if self.text.starts_with('.') && !self.text.starts_with("..") {
                self.advance(1);
                let Some(key) = self.name() else {
                    let fault = Fault::new("a name is missing after `.`");
                    let is_digit = self.peek().is_some_and(|next| next.is_ascii_digit());
                    return Err(if is_digit {
                        fault.hint("a name that begins with a digit is written `[\"1st\"]`")
                    } else {
                        fault
                    });
                };
                steps.push(Step::Key { key: key.into(), is_command: COMMANDS.contains(&key) });
                if self.text.starts_with('(') {
                    return Err(Fault::jinja(&format!("`.{key}(…)` is a call, which Liquid does not have")));
                }
            } else {
                let is_row = matches!(&root, PathRoot::Name(name) if &**name == "row" || &**name == "record");
                return Ok(Expression::Path(Box::new(Path { root, steps, is_row, place: ColumnPlace::default() })));
            }
        }
    }

    fn bracketed(&mut self) -> Result<Expression, Fault> {
        self.advance(1);
        let inner = self.expression()?;
        if self.take("]") { Ok(inner) } else { Err(Fault::new("`[` is not closed by `]`")) }
    }

    fn quoted(&mut self) -> Result<&'s str, Fault> {
        let quote = self.text.get(..1).unwrap_or_default();
        let inner = self.text.get(1..).unwrap_or_default();
        let length = inner.find(quote).ok_or_else(|| Fault::new("a quote is not closed"))?;
        let text = inner.get(..length).unwrap_or_default();
        self.advance(length + 2);
        Ok(text)
    }

    fn range(&mut self) -> Result<Expression, Fault> {
        self.advance(1);
        let first = self.expression()?;
        if !self.take("..") {
            return Err(Fault::new("unexpected `(`; Liquid has no grouping, only ranges like `(1..5)`"));
        }
        let last = self.expression()?;
        if !self.take(")") {
            return Err(Fault::new("`(` is not closed by `)`"));
        }
        Ok(Expression::Range(Box::new((first, last))))
    }

    fn number(&mut self) -> Result<Expression, Fault> {
        let digits = |text: &str| text.find(|next: char| !next.is_ascii_digit()).unwrap_or(text.len());
        let sign = usize::from(self.text.starts_with('-'));
        let whole = sign + digits(self.text.get(sign..).unwrap_or_default());
        let mut length = whole;
        if let Some(fraction) = self.text.get(whole..).and_then(|rest| rest.strip_prefix('.')) {
            let count = digits(fraction);
            if count > 0 {
                length += 1 + count;
            }
        }
        let text = self.advance(length);
        if self.text.starts_with(starts_name)
            && !self.text.starts_with("and")
            && !self.text.starts_with("or")
            && !self.text.starts_with("contains")
            && !is_loop_word(self.text)
        {
            return Err(Fault::new(format!("unexpected text after the number `{text}`")));
        }
        let value = if length > whole {
            let number: f64 = text.parse().map_err(|_| Fault::new("a number is not readable"))?;
            Value::Float(number)
        } else {
            match text.parse::<i128>() {
                Ok(number) => Value::Int(number),
                Err(_) => Value::from(text.parse::<BigDecimal>().map_err(|_| Fault::new("a number is not readable"))?),
            }
        };
        Ok(Expression::Literal(value))
    }
}

fn is_loop_word(text: &str) -> bool {
    ["limit", "offset", "reversed", "cols", "if"].iter().any(|word| text.starts_with(word))
}

fn unknown_filter(name: &str) -> Fault {
    let fault = Fault::new(format!("unknown filter `{name}`"));
    if let Some(advice) = meant(name) {
        return fault.hint(advice);
    }
    match did_you_mean(name, filters().iter().map(|filter| filter.name)) {
        Some(hint) => fault.hint(hint),
        None => fault,
    }
}

/// Refuses a wrong number of arguments, and literal arguments that can never work.
fn check_arguments(call: &FilterCall) -> Result<(), Fault> {
    let Filter { name, required, optional, .. } = *call.filter;
    let given = call.positional.len();
    let most = required.saturating_add(optional);
    if given < required || given > most {
        let expected = match (required, most) {
            (0, 0) => "no argument".to_owned(),
            (1, 1) => "1 argument".to_owned(),
            (least, usize::MAX) => format!("at least {least} arguments"),
            (least, most) if least == most => format!("{least} arguments"),
            (least, most) => format!("{least} to {most} arguments"),
        };
        let fault = Fault::new(format!("filter `{name}` takes {expected}, not {given}"));
        return Err(fault.hint(format!("`{name}` {}", call.filter.usage())));
    }
    let literals: Vec<Option<&Value>> = call
        .positional
        .iter()
        .map(|argument| if let Expression::Literal(value) = argument { Some(value) } else { None })
        .collect();
    match call.filter.check {
        Some(check) => check(&literals),
        None => Ok(()),
    }
}
