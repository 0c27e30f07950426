use std::sync::Arc;

use chrono::{DateTime, Utc};
use ebb_row::{Row, Value};

use crate::ast::{Expression, Filtered, NodeKind, PathRoot, Step};
use crate::error::{Failure, Fault, TemplateError};
use crate::filters::Regexes;
use crate::jinja::Jinja;
use crate::limits::SOURCE_BYTES;
use crate::names::{self, Names, Reads};
use crate::parser::{self, Tree};
use crate::render::Renderer;

/// The language of a template.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Language {
    /// Liquid, as Hightouch and Census users know it: the default.
    #[default]
    Liquid,
    /// Jinja, on minijinja.
    Jinja,
}

impl Language {
    /// Returns the word used in YAML.
    pub fn word(self) -> &'static str {
        match self {
            Self::Liquid => "liquid",
            Self::Jinja => "jinja",
        }
    }

    /// Reads what [`Language::word`] returns.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Liquid, Self::Jinja].into_iter().find(|language| language.word() == word)
    }
}

/// What a root name stands for.
#[derive(Clone, Copy, Debug)]
pub enum Root<'a> {
    /// A value.
    Value(&'a Value),
    /// A row: its columns are looked up as they are read, and no map is built.
    Row(&'a Row),
}

/// What a template may read.
pub trait Variables {
    /// Returns what `name` stands for; asked for `row`, `record` and any other root such as `context`.
    ///
    /// `row` and `record` are one: it is enough to answer to either. The row's columns need no answer of their own.
    fn root(&self, name: &str) -> Option<Root<'_>>;

    /// Returns the time of the run, which `'now'` means; `None` makes `'now'` an error.
    fn now(&self) -> Option<DateTime<Utc>> {
        None
    }
}

/// A parsed template; cloning is cheap.
#[derive(Clone, Debug)]
pub struct Template {
    inner: Arc<Inner>,
}

#[derive(Debug)]
enum Inner {
    Liquid(Liquid),
    Jinja(Box<Jinja>),
}

#[derive(Debug)]
struct Liquid {
    source: String,
    tree: Tree,
    regexes: Regexes,
    knows_now: bool,
}

impl Liquid {
    /// Returns the one output of an expression and where it begins.
    fn expression(&self) -> Option<(usize, &Filtered)> {
        if !self.tree.is_expression {
            return None;
        }
        self.tree
            .nodes
            .iter()
            .find_map(|node| if let NodeKind::Output(value) = &node.kind { Some((node.offset, value)) } else { None })
    }
}

impl Template {
    /// Parses a template.
    ///
    /// # Errors
    /// The first fault that needs no row to be seen: syntax, an unknown tag or filter, a wrong number of arguments,
    /// a source of more than 64 KiB.
    pub fn parse(source: &str, language: Language) -> Result<Self, TemplateError> {
        if source.len() > SOURCE_BYTES {
            return Err(Fault::new("the template is longer than 64 KiB").at(0).place(source));
        }
        let inner = match language {
            Language::Liquid => {
                let tree = parser::parse(source).map_err(|failure| failure.place(source))?;
                let knows_now = names::knows_now(&tree.nodes);
                Inner::Liquid(Liquid { source: source.to_owned(), tree, regexes: Regexes::default(), knows_now })
            }
            Language::Jinja => Inner::Jinja(Box::new(Jinja::parse(source).map_err(|failure| failure.place(source))?)),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Returns a fault for each unknown variable and column, in the order of the template.
    pub fn check(&self, names: &Names<'_>) -> Vec<TemplateError> {
        let (source, failures) = match &*self.inner {
            Inner::Liquid(liquid) => (liquid.source.as_str(), names::check(&liquid.tree.nodes, names)),
            Inner::Jinja(jinja) => (jinja.source(), jinja.check(names)),
        };
        failures.into_iter().map(|failure| failure.place(source)).collect()
    }

    /// Returns what the template reads.
    pub fn reads(&self) -> Reads {
        match &*self.inner {
            Inner::Liquid(liquid) => names::reads(&liquid.tree.nodes, liquid.knows_now),
            Inner::Jinja(jinja) => jinja.reads().clone(),
        }
    }

    /// Returns whether it is exactly one `{{ … }}` with only whitespace around it, so that its result keeps its type.
    pub fn is_expression(&self) -> bool {
        match &*self.inner {
            Inner::Liquid(liquid) => liquid.tree.is_expression,
            Inner::Jinja(jinja) => jinja.is_expression(),
        }
    }

    /// Returns the column, where the template is exactly `{{ row.x }}` or `{{ row["x"] }}`: the cell is the result.
    pub fn lone_column(&self) -> Option<&str> {
        match &*self.inner {
            Inner::Liquid(liquid) => {
                let (_, Filtered { base: Expression::Path(path), filters }) = liquid.expression()? else { return None };
                match (&path.root, path.steps.as_slice()) {
                    (PathRoot::Name(root), [Step::Key(column)])
                        if filters.is_empty() && (&**root == "row" || &**root == "record") =>
                    {
                        Some(column)
                    }
                    _ => None,
                }
            }
            Inner::Jinja(jinja) => jinja.lone_column(),
        }
    }

    /// Renders with types: an expression gives its value as it is, anything else text.
    ///
    /// # Errors
    /// What is wrong with this row; the row is to be rejected. A NaN or infinite result is an error.
    pub fn render(&self, variables: &dyn Variables) -> Result<Value, TemplateError> {
        match &*self.inner {
            Inner::Liquid(liquid) => {
                let Some((offset, value)) = liquid.expression() else {
                    return self.render_text(variables).map(Value::from);
                };
                let renderer = Renderer::new(variables, &liquid.regexes, liquid.knows_now);
                renderer.value(value).map_err(|fault| fault.at(offset).place(&liquid.source))
            }
            Inner::Jinja(jinja) => jinja.render(variables).map_err(|failure| failure.place(jinja.source())),
        }
    }

    /// Renders as text, printing values as the language does.
    ///
    /// # Errors
    /// What is wrong with this row; the row is to be rejected.
    pub fn render_text(&self, variables: &dyn Variables) -> Result<String, TemplateError> {
        let (source, result): (&str, Result<String, Failure>) = match &*self.inner {
            Inner::Liquid(liquid) => {
                let renderer = Renderer::new(variables, &liquid.regexes, liquid.knows_now);
                (&liquid.source, renderer.text(&liquid.tree.nodes))
            }
            Inner::Jinja(jinja) => (jinja.source(), jinja.render_text(variables)),
        };
        result.map_err(|failure| failure.place(source))
    }
}
