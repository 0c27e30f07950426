use std::borrow::Cow;

use bytes::Bytes;
use ebb_row::Secret;

/// An HTTP method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// GET
    Get,
    /// POST
    Post,
    /// PUT
    Put,
    /// DELETE
    Delete,
}

impl Method {
    /// Returns the method as HTTP spells it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
        }
    }
}

/// Whether a request may be sent again when no answer came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// Its effect is the same however often it is applied: reads, updates by id, messages with a stable id.
    Repeatable,
    /// The machine can look whether it was applied: it is given [`Answer::Lost`] and decides.
    Checkable,
    /// Neither: the records stay unknown.
    Neither,
}

/// A header's text, told apart so that logs mask the secret ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeaderText {
    /// May be logged.
    Plain(Cow<'static, str>),
    /// Never logged.
    Secret(Secret),
}

/// The authorization of a request.
pub type Auth = HeaderText;

/// One HTTP request, ready to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What it does, for logs and metrics (`account.put`).
    pub operation: &'static str,
    /// Position in [`crate::Destination::budgets`].
    pub budget: usize,
    /// Whether it writes: writes may cost more of the budget than reads.
    pub writes: bool,
    /// The method.
    pub method: Method,
    /// The full URL, ids percent-encoded.
    pub url: String,
    /// Headers, names in lower case; `content-type` and `authorization` included.
    pub headers: Vec<(&'static str, HeaderText)>,
    /// The body: JSON on one line.
    pub body: Option<Bytes>,
    /// Whether it may be sent again.
    pub repeat: Repeat,
}

/// A reply that arrived, whole or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// Headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body after inflating, at most 4 MiB.
    pub body: Vec<u8>,
    /// Whether the body arrived whole.
    pub complete: bool,
}

impl Reply {
    /// Returns the first header of this name (lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(header, _)| header == name).map(|(_, value)| value.as_str())
    }
}

/// Why a call has no reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostCall {
    /// In words, for the outcome's reason.
    pub reason: String,
}

/// What a step machine is told.
#[derive(Clone, Copy, Debug)]
pub enum Answer<'a> {
    /// Begin.
    Start,
    /// The reply to the last request; never 429, and 5xx only when the engine gave up repeating it.
    Reply(&'a Reply),
    /// The last request was sent and may have been applied, and it was [`Repeat::Checkable`].
    Lost(&'a LostCall),
    /// The last request is to be sent again: build it anew, with the same record and message id and a fresh envelope.
    Again,
}
