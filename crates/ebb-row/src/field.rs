/// What a null in a record does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nulls {
    /// It is sent.
    Send,
    /// The field is left out.
    Omit,
}

/// What a destination field takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldType {
    /// Text; numbers and booleans are sent as their text.
    Text,
    /// An id: text; numbers are sent as their digits.
    Id,
    /// A list of ids; a scalar becomes a list of one, a null no element.
    Ids,
    /// A boolean.
    Boolean,
    /// An instant (RFC 3339 in UTC).
    Timestamp,
    /// A free-form object, such as traits or properties.
    Object,
}
