use ebb_row::{FieldType, Nulls, SyncMode};

/// Which of a destination's APIs carries an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Api {
    /// Single records, read back and answered one by one.
    Rest,
    /// Messages in batches, accepted as a whole and applied later.
    Analytics,
}

impl Api {
    /// Returns the word used in YAML and output.
    pub fn word(self) -> &'static str {
        match self {
            Self::Rest => "rest",
            Self::Analytics => "analytics",
        }
    }
}

/// A destination as data: what it is called and what it takes.
#[derive(Debug)]
pub struct Spec {
    /// The `type` in `ebb.yaml`.
    pub name: &'static str,
    /// The objects, in the order in which they are listed to users.
    pub objects: &'static [ObjectSpec],
}

/// One kind of object of a destination, through one of its APIs.
#[derive(Debug)]
pub struct ObjectSpec {
    /// The `object` of a sync.
    pub name: &'static str,
    /// The API.
    pub api: Api,
    /// Whether this is the API when the sync names none.
    pub default_api: bool,
    /// The modes that it allows.
    pub modes: &'static [SyncMode],
    /// The fields by which a record may be matched; empty for events.
    pub match_fields: &'static [&'static str],
    /// The fields, besides the match field.
    pub fields: &'static [FieldSpec],
    /// Groups of which at least one must be mapped in modes that create: (fields, message).
    pub one_of: &'static [OneOf],
    /// What a null does where a sync does not say: in the object's free-form field (traits), and elsewhere.
    pub nulls: (Nulls, Nulls),
}

/// Fields of which at least one must be mapped.
#[derive(Debug)]
pub struct OneOf {
    /// The fields.
    pub fields: &'static [&'static str],
    /// The modes in which the rule holds.
    pub modes: &'static [SyncMode],
    /// The message when it is broken.
    pub message: &'static str,
}

/// One field of an object.
#[derive(Debug)]
pub struct FieldSpec {
    /// The name.
    pub name: &'static str,
    /// What it takes.
    pub kind: FieldType,
    /// The modes in which it must be mapped.
    pub required: &'static [SyncMode],
    /// The object whose ids it holds (`account`), so that `$lookup` is offered; empty otherwise.
    pub holds_ids_of: &'static str,
    /// One line for the editor schema and messages.
    pub help: &'static str,
}
