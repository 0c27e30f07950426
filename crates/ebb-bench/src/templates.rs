//! Templates against the `liquid` crate: the same text of the same data, in turns on one CPU.

use std::hint::black_box;
use std::sync::Arc;

use anyhow::{Context as _, anyhow, bail, ensure};
use chrono::{DateTime, TimeZone as _, Utc};
use ebb_mapping::{Bound, Key, Mapping, MappingSettings, Node, NodeKind, RunContext, Target};
use ebb_row::{FieldType, Nulls, Row, Value, write_json};
use ebb_template::{Language, Root, Template, Variables};
use liquid::ObjectView;
use rustix::time::{ClockId, clock_gettime};

use crate::machine::say;

/// The fields of `traits` and what each is mapped to: a bare word is a column.
const TRAITS: [(&str, &str); 15] = [
    ("plan", "plan"),
    ("industry", "industry"),
    ("country", "country"),
    ("segment", "segment"),
    ("seats", "seats"),
    ("tickets", "tickets"),
    ("events", "events"),
    ("health", "health"),
    ("active", "active"),
    ("trial", "trial"),
    ("owner_email", "{{ row.owner_email | downcase }}"),
    ("city", "{{ row.city | capitalize }}"),
    ("usage", "{{ row.usage | round: 1 }}"),
    ("summary", "{{ row.plan }} plan, {{ row.seats }} seats"),
    ("notes", "{{ row.notes | truncate: 30 }} ({{ row.segment | upcase }})"),
];

/// A template for each of the three kinds of work.
const LONE: &str = "{{ row.name }}";
const TEXT: &str = "{{ row.name }} of {{ row.city | capitalize }} is on the {{ row.plan | upcase }} plan with {{ row.seats }} \
                    seats and looks fine.";
const TAGS: &str = "{% assign total = 0 %}{% if row.plan == 'enterprise' %}big{% elsif row.seats > 400 %}large{% else %}small\
                    {% endif %} {% case row.segment %}{% when 'segment 1', 'segment 2' %}early{% when 'segment 3' %}middle\
                    {% else %}late{% endcase %}: {% for tag in row.tags %}{% if forloop.first %}[{% endif %}\
                    {{ forloop.index }}={{ tag | upcase }}{% unless forloop.last %}, {% endunless %}\
                    {% assign total = total | plus: forloop.index %}{% if forloop.last %}]{% endif %}{% endfor %} {{ total }}";

/// As many different rows, so that no branch is learned by heart.
const ROWS: i64 = 64;
/// Turns of both sides that are measured; the median counts.
const ROUNDS: usize = 400;
/// CPU time of one side's turn, in ns.
const TURN_NS: f64 = 1_000_000.0;

/// One row as each side takes it.
struct Sample {
    row: Row,
    object: liquid::Object,
}

/// What a side has written, into the buffer that it takes.
#[derive(Default)]
struct Written {
    text: String,
    bytes: Vec<u8>,
}

impl Written {
    fn clear(&mut self) {
        self.text.clear();
        self.bytes.clear();
    }

    fn as_text(&self) -> anyhow::Result<&str> {
        if self.bytes.is_empty() { Ok(&self.text) } else { Ok(std::str::from_utf8(&self.bytes)?) }
    }
}

impl Variables for Sample {
    fn root(&self, name: &str) -> Option<Root<'_>> {
        (name == "row").then_some(Root::Row(&self.row))
    }
}

/// Renders what P14 measures.
pub(crate) fn p14() -> anyhow::Result<()> {
    stay_on_this_cpu()?;
    let data: Vec<Sample> = (1..=ROWS).map(data).collect();
    say(&format!("P14 templates, {ROWS} rows, {ROUNDS} turns on one CPU"));
    let names = data.first().map(|data| data.row.names().to_vec()).context("there are rows")?;
    let traits = Traits { bound: bind(&names)?, context: context()? };
    let body = parse(&body())?;
    let mut out = Written::default();
    let figure = compare(
        &data,
        |data, out| traits.write(&data.row, &mut out.bytes),
        |data, text| render_peer(&body, &data.object, text),
        &mut out,
    )?;
    figure.say("15 typed traits to JSON");
    say(&format!("  P14 = {:.2} (bar 2.5, stretch 3.5)", figure.ratio));
    for (label, source, bar) in [("lone column", LONE, 10.0), ("text", TEXT, 1.2), ("tag-heavy", TAGS, 0.8)] {
        let own = Template::parse(source, Language::Liquid)?;
        let peer = parse(source)?;
        let theirs = |data: &Sample, out: &mut Written| render_peer(&peer, &data.object, out);
        let figure = compare(&data, |data, out| render_own(&own, data, out), theirs, &mut out)?;
        figure.say(label);
        say(&format!("  {label} = {:.2} (bar {bar})", figure.ratio));
        let figure = compare(&data, |data, out| render_value(&own, data, out), theirs, &mut out)?;
        figure.say(&format!("{label}, as a value"));
    }
    Ok(())
}

/// What two sides cost.
struct Figure {
    own_ns: f64,
    peer_ns: f64,
    /// The peer's time by ours in the same turn, the median of all turns.
    ratio: f64,
    /// The middle half of the turns' ratios.
    quartiles: (f64, f64),
    bytes: usize,
}

impl Figure {
    fn say(&self, label: &str) {
        let (low, high) = self.quartiles;
        say(&format!(
            "  {label:<24} ebb {:.0} ns, liquid {:.0} ns a render of {} bytes; middle half of the turns {low:.2} to {high:.2}",
            self.own_ns, self.peer_ns, self.bytes
        ));
    }
}

/// Checks that both sides give the same bytes for each row, then measures them in turns.
fn compare(
    data: &[Sample],
    own: impl Fn(&Sample, &mut Written) -> anyhow::Result<()>,
    peer: impl Fn(&Sample, &mut Written) -> anyhow::Result<()>,
    out: &mut Written,
) -> anyhow::Result<Figure> {
    let mut bytes = 0;
    for data in data {
        out.clear();
        own(data, out)?;
        let text = out.as_text()?.to_owned();
        out.clear();
        peer(data, out)?;
        ensure!(text == out.as_text()?, "ebb: {text}\nliquid: {}", out.as_text()?);
        bytes = text.len();
    }
    let own_passes = passes(data, &own, out)?;
    let peer_passes = passes(data, &peer, out)?;
    let (mut own_ns, mut peer_ns, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        // Who comes first changes, so that neither always finds the caches the other left.
        let (ours, theirs) = if round % 2 == 0 {
            let ours = turn(data, &own, own_passes, out)?;
            (ours, turn(data, &peer, peer_passes, out)?)
        } else {
            let theirs = turn(data, &peer, peer_passes, out)?;
            (turn(data, &own, own_passes, out)?, theirs)
        };
        own_ns.push(ours);
        peer_ns.push(theirs);
        ratios.push(theirs / ours);
    }
    let quartiles = (at(&mut ratios, 0.25), at(&mut ratios, 0.75));
    Ok(Figure {
        own_ns: at(&mut own_ns, 0.5),
        peer_ns: at(&mut peer_ns, 0.5),
        ratio: at(&mut ratios, 0.5),
        quartiles,
        bytes,
    })
}

/// Returns how many passes over the rows fill a turn; warms up by the way.
fn passes(
    data: &[Sample],
    render: impl Fn(&Sample, &mut Written) -> anyhow::Result<()>,
    out: &mut Written,
) -> anyhow::Result<u32> {
    let mut passes = 1;
    while turn(data, &render, passes, out)? * f64::from(passes) * small(data.len())? < TURN_NS {
        passes *= 2;
    }
    Ok(passes)
}

/// Renders every row `passes` times and returns the CPU time of one render in ns.
fn turn(
    data: &[Sample],
    render: impl Fn(&Sample, &mut Written) -> anyhow::Result<()>,
    passes: u32,
    out: &mut Written,
) -> anyhow::Result<f64> {
    let start = cpu_ns()?;
    for _ in 0..passes {
        for data in data {
            out.clear();
            render(black_box(data), out)?;
            black_box(&out);
        }
    }
    Ok((cpu_ns()? - start) / f64::from(passes) / small(data.len())?)
}

fn small(number: usize) -> anyhow::Result<f64> {
    Ok(f64::from(u32::try_from(number)?))
}

/// CPU time of this thread in ns: what others do on the machine does not count.
fn cpu_ns() -> anyhow::Result<f64> {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Ok(f64::from(u32::try_from(time.tv_sec)?) * 1e9 + f64::from(u32::try_from(time.tv_nsec)?))
}

fn at(numbers: &mut [f64], share: f64) -> f64 {
    numbers.sort_by(f64::total_cmp);
    let last = numbers.len().saturating_sub(1);
    let index = (0..=last).find(|index| small(*index).unwrap_or(0.0) >= small(last).unwrap_or(0.0) * share);
    index.and_then(|index| numbers.get(index)).copied().unwrap_or_default()
}

/// Keeps this thread on the CPU it runs on, where the system can.
fn stay_on_this_cpu() -> anyhow::Result<()> {
    #[cfg(target_os = "linux")]
    {
        let mut cpus = rustix::thread::CpuSet::new();
        cpus.set(rustix::thread::sched_getcpu());
        rustix::thread::sched_setaffinity(None, &cpus)?;
    }
    Ok(())
}

/// The mapping of `traits`, as a run holds it.
struct Traits {
    bound: Bound,
    context: RunContext,
}

impl Traits {
    fn write(&self, row: &Row, out: &mut Vec<u8>) -> anyhow::Result<()> {
        let record = self.bound.record(row, &self.context)?;
        let traits = record.fields.get("traits").context("the record has no traits")?;
        Ok(write_json(traits, out)?)
    }
}

fn context() -> anyhow::Result<RunContext> {
    let run_time: Option<DateTime<Utc>> = Utc.with_ymd_and_hms(2024, 3, 5, 6, 7, 8).single();
    Ok(RunContext { sync: "accounts".to_owned(), run_id: "r1".to_owned(), run_time: run_time.context("a time")? })
}

fn bind(names: &[Arc<str>]) -> anyhow::Result<Bound> {
    let node = |kind| Node { at: 0, kind };
    let key = |name: &str| Key { name: name.to_owned(), at: 0 };
    let traits = TRAITS.iter().map(|(name, value)| (key(name), node(NodeKind::Text((*value).to_owned())))).collect();
    let fields = node(NodeKind::Map(vec![(key("traits"), node(NodeKind::Map(traits)))]));
    let targets = [Target { name: "traits".to_owned(), kind: FieldType::Object, lookup_of: None }];
    let settings = MappingSettings {
        language: Language::Liquid,
        nulls_objects: Nulls::Send,
        nulls_fields: Nulls::Send,
        nulls_override: None,
    };
    let mapping = Mapping::compile(&fields, None, &targets, &settings).map_err(|faults| anyhow!("{faults:?}"))?;
    Ok(mapping.bind(names))
}

/// The same body as one text for the peer; its values need no escape.
fn body() -> String {
    let bare = ["seats", "tickets", "events", "health", "active", "trial", "usage"];
    let fields: Vec<String> = TRAITS
        .iter()
        .map(|(name, value)| {
            let value = if value.contains("{{") { (*value).to_owned() } else { format!("{{{{ row.{value} }}}}") };
            if bare.contains(name) { format!("\"{name}\":{value}") } else { format!("\"{name}\":\"{value}\"") }
        })
        .collect();
    format!("{{{}}}", fields.join(","))
}

fn parse(source: &str) -> anyhow::Result<liquid::Template> {
    Ok(liquid::ParserBuilder::with_stdlib().build()?.parse(source)?)
}

fn render_own(template: &Template, data: &Sample, out: &mut Written) -> anyhow::Result<()> {
    Ok(template.render_text_to(data, &mut out.text)?)
}

/// The value of a template, as a mapping takes it.
fn render_value(template: &Template, data: &Sample, out: &mut Written) -> anyhow::Result<()> {
    let Value::Text(text) = template.render(data)? else { bail!("the result is no text") };
    out.text.push_str(&text);
    Ok(())
}

fn render_peer(template: &liquid::Template, object: &liquid::Object, out: &mut Written) -> anyhow::Result<()> {
    let globals: &dyn ObjectView = object;
    Ok(template.render_to(&mut out.bytes, globals)?)
}

/// A row of the account sync, with a list of 20 tags besides.
fn data(number: i64) -> Sample {
    let plans = ["free", "team", "pro", "enterprise"];
    let plan = usize::try_from(number % 4).ok().and_then(|at| plans.get(at)).copied().unwrap_or_default();
    let float = |number: i64, by: f64| i32::try_from(number).map_or(0.0, |number| f64::from(number) / by);
    let text = |text: String| Value::from(text.as_str());
    let tags = (0..20).map(|tag| text(format!("tag {}", tag * number % 31))).collect();
    let cells = [
        ("account_id", text(format!("acct-{number}"))),
        ("name", text(format!("Customer number {number}"))),
        ("plan", Value::from(plan)),
        ("industry", text(format!("industry {}", number % 37))),
        ("country", text(format!("country {}", number % 91))),
        ("city", text(format!("city {}", number % 911))),
        ("owner_email", text(format!("Owner{}@Example.com", number % 211))),
        ("segment", text(format!("segment {}", number % 7))),
        ("notes", text(format!("renewal talk planned, see thread {}", number * 7))),
        ("seats", Value::from(number * 7 % 500)),
        ("tickets", Value::from(number % 60)),
        ("events", Value::from(number * 13)),
        ("health", Value::Float(float(number * 10 + 5, 10.0))),
        ("usage", Value::Float(float(number * 997, 97.0))),
        ("active", Value::Bool(number % 3 != 0)),
        ("trial", Value::Bool(number % 11 == 0)),
        ("tags", Value::List(tags)),
    ];
    let names = cells.iter().map(|(name, _)| Arc::from(*name)).collect();
    let row = cells.iter().map(|(name, value)| ((*name).into(), peer(value))).collect();
    let mut object = liquid::Object::new();
    object.insert("row".into(), liquid::model::Value::Object(row));
    Sample { row: Row::new(names, cells.into_iter().map(|(_, value)| value).collect()), object }
}

/// The same value for the peer.
fn peer(value: &Value) -> liquid::model::Value {
    use liquid::model::Value as Peer;
    match value {
        Value::Bool(flag) => Peer::scalar(*flag),
        Value::Int(number) => Peer::scalar(i64::try_from(*number).unwrap_or_default()),
        Value::Float(number) => Peer::scalar(*number),
        Value::Text(text) => Peer::scalar(text.to_string()),
        Value::List(items) => Peer::Array(items.iter().map(peer).collect()),
        Value::Null
        | Value::Decimal(_)
        | Value::Bytes(_)
        | Value::Instant(_)
        | Value::LocalTime(_)
        | Value::Date(_)
        | Value::Object(_)
        | Value::Lookup(_) => Peer::Nil,
    }
}
