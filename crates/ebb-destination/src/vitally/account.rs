//! Accounts and organizations by REST: one record, one to three calls.
//!
//! A POST with a known external id updates that record (seen in clients that rely on it; not stated by Vitally for
//! accounts), so it may be repeated. A PUT takes either id; where it says that there is no such record, one GET by the
//! external id decides, because one client found that updates need Vitally's own id.

use std::sync::Arc;

use ebb_row::{Created, SyncMode};

use super::reply::{Answered, Flow, Said, accepted, after_last_put, after_put, after_read, rejected, skipped, unknown};
use super::request::{
    Calls, fields_to_clear, fields_to_create, fields_to_update, id_text, is_same_object, is_uuid_shaped,
};
use super::single::Machine;
use crate::http::{Repeat, Request};
use crate::{WritePlan, WriteRecord};

/// The write of one account or organization.
pub(super) struct AccountWrite {
    calls: Calls,
    mode: SyncMode,
    record: WriteRecord,
    target: Target,
}

enum Target {
    /// Matched by Vitally's id.
    Id(Arc<str>),
    /// Matched by your id.
    ExternalId(Arc<str>),
}

/// The call that is out.
pub(super) enum State {
    /// PUT by the id that the user's match field gives.
    PutMatched,
    /// PUT by the id that Vitally told earlier.
    PutKnown(Arc<str>),
    /// PUT by the external id.
    PutByExternalId(Arc<str>),
    /// GET by the external id, to PUT by the id it tells.
    GetToPut(Arc<str>),
    /// PUT of a record that was there a moment ago.
    PutFound(Arc<str>),
    /// POST that creates or updates.
    Post(Arc<str>),
    /// PUT of the nulls that a POST cannot carry.
    Clear(Created),
    /// GET before an insert.
    GetToInsert(Arc<str>),
    /// POST of an insert; whether an earlier one got no answer.
    PostNew(Arc<str>, bool),
    /// GET after a POST that got no answer.
    GetToJudge(Arc<str>, bool, String),
}

impl AccountWrite {
    /// `None` where the record lacks its match field's value.
    pub(super) fn new(calls: Calls, plan: &WritePlan, mut record: WriteRecord) -> Option<Self> {
        let target = if plan.match_field.as_deref() == Some("id") {
            Target::Id(id_text(&record.record, "id")?)
        } else {
            Target::ExternalId(id_text(&record.record, "externalId")?)
        };
        if !is_same_object(&record, &["externalId"]) {
            record.id = None;
        }
        Some(Self { calls, mode: plan.mode, record, target })
    }

    fn can_create(&self) -> bool {
        self.mode == SyncMode::Upsert && self.record.record.fields.get("name").is_some_and(|name| !name.is_null())
    }

    fn missing<T>(&self) -> Flow<T> {
        let word = self.calls.kind.word();
        match (self.mode, &self.target) {
            (SyncMode::Update, _) => skipped(format!("no such {word} in Vitally")),
            (SyncMode::Upsert | SyncMode::Insert, Target::Id(_)) => rejected(format!("no such {word} in Vitally")),
            (SyncMode::Upsert | SyncMode::Insert, Target::ExternalId(_)) => {
                rejected(format!("no such {word} in Vitally, and creating one needs `name`"))
            }
        }
    }

    fn exists<T>(&self) -> Flow<T> {
        skipped(format!("the {} already exists in Vitally", self.calls.kind.word()))
    }

    fn another<T>(&self) -> Flow<T> {
        rejected(format!("Vitally answers this external id with another {}", self.calls.kind.word()))
    }

    fn put(&self, id: &str) -> Flow<Request> {
        self.calls.put(id, fields_to_update(&self.record.record))
    }

    fn post(&self, external_id: &Arc<str>, repeat: Repeat) -> Flow<Request> {
        self.calls.post(fields_to_create(&self.record.record, external_id), repeat)
    }

    /// The first call for a record whose Vitally id is not known.
    fn find(&self, external_id: &Arc<str>) -> Flow<(State, Request)> {
        if self.can_create() {
            return Flow::Continue((State::Post(Arc::clone(external_id)), self.post(external_id, Repeat::Repeatable)?));
        }
        // Which reading of such an id wins is not known: look before writing.
        if is_uuid_shaped(external_id) {
            return self.get_to_put(external_id);
        }
        Flow::Continue((State::PutByExternalId(Arc::clone(external_id)), self.put(external_id)?))
    }

    fn get_to_put(&self, external_id: &Arc<str>) -> Flow<(State, Request)> {
        Flow::Continue((State::GetToPut(Arc::clone(external_id)), self.calls.get(external_id)?))
    }

    /// Ends with the written record, if it is the right one.
    fn written<T>(&self, answered: Answered, external_id: &str, created: Created) -> Flow<T> {
        if answered.is_of_another(external_id) { self.another() } else { accepted(answered, created) }
    }

    fn after_post(&self, said: Said, external_id: &str) -> Flow<(State, Request)> {
        let answered = after_last_put(said)?;
        let clear = fields_to_clear(&self.record.record);
        if clear.is_empty() || answered.created == Created::Yes || answered.is_of_another(external_id) {
            let created = answered.created;
            return self.written(answered, external_id, created);
        }
        Flow::Continue((State::Clear(answered.created), self.calls.put(&answered.id, clear)?))
    }

    fn after_insert(&self, said: Said, external_id: Arc<str>, again: bool) -> Flow<(State, Request)> {
        match said {
            Said::Open(reason) => {
                let request = self.calls.get(&external_id)?;
                Flow::Continue((State::GetToJudge(external_id, again, reason), request))
            }
            Said::Record(_) | Said::Results(_) | Said::Missing(_) | Said::Refused(_) | Said::NotNow(..) => {
                let answered = after_last_put(said)?;
                let created = answered.created;
                self.written(answered, &external_id, created)
            }
        }
    }

    /// A POST got no answer: is the record there, and is it ours?
    fn judge_insert(&self, said: Said, external_id: Arc<str>, again: bool, lost: String) -> Flow<(State, Request)> {
        match after_read(said) {
            Flow::Continue(Some(answered)) if !answered.is_of(&external_id) => unknown(lost),
            Flow::Continue(Some(answered)) if answered.created == Created::No => self.exists(),
            Flow::Continue(Some(answered)) => accepted(answered, Created::Yes),
            Flow::Continue(None) if !again => {
                let request = self.post(&external_id, Repeat::Checkable)?;
                Flow::Continue((State::PostNew(external_id, true), request))
            }
            Flow::Continue(None) | Flow::Break(_) => unknown(lost),
        }
    }
}

impl Machine for AccountWrite {
    type State = State;

    fn begin(&self) -> Flow<(State, Request)> {
        match (&self.target, self.mode, &self.record.id) {
            (Target::Id(id), SyncMode::Upsert | SyncMode::Update, _) => {
                Flow::Continue((State::PutMatched, self.put(id)?))
            }
            (Target::Id(_), SyncMode::Insert, _) => rejected(super::rules::INSERT_BY_ID),
            (Target::ExternalId(external_id), SyncMode::Insert, _) => {
                Flow::Continue((State::GetToInsert(Arc::clone(external_id)), self.calls.get(external_id)?))
            }
            (Target::ExternalId(external_id), SyncMode::Upsert | SyncMode::Update, Some(id)) => {
                Flow::Continue((State::PutKnown(Arc::clone(external_id)), self.put(id)?))
            }
            (Target::ExternalId(external_id), SyncMode::Upsert | SyncMode::Update, None) => self.find(external_id),
        }
    }

    fn next(&self, state: State, said: Said) -> Flow<(State, Request)> {
        match state {
            State::PutMatched => match after_put(said)? {
                Ok(answered) => accepted(answered, Created::No),
                Err(_) => self.missing(),
            },
            State::PutKnown(external_id) => match after_put(said)? {
                Ok(answered) => self.written(answered, &external_id, Created::No),
                Err(_) if self.can_create() => self.find(&external_id),
                Err(_) => self.get_to_put(&external_id),
            },
            State::PutByExternalId(external_id) => match after_put(said)? {
                Ok(answered) => self.written(answered, &external_id, Created::No),
                Err(_) => self.get_to_put(&external_id),
            },
            State::GetToPut(external_id) => match after_read(said)? {
                Some(answered) if answered.is_of(&external_id) => {
                    Flow::Continue((State::PutFound(external_id), self.put(&answered.id)?))
                }
                Some(_) => self.another(),
                None => self.missing(),
            },
            State::PutFound(external_id) => self.written(after_last_put(said)?, &external_id, Created::No),
            State::Post(external_id) => self.after_post(said, &external_id),
            State::Clear(created) => accepted(after_last_put(said)?, created),
            State::GetToInsert(external_id) => match after_read(said)? {
                Some(answered) if answered.is_of(&external_id) => self.exists(),
                Some(_) => self.another(),
                None => {
                    let request = self.post(&external_id, Repeat::Checkable)?;
                    Flow::Continue((State::PostNew(external_id, false), request))
                }
            },
            State::PostNew(external_id, again) => self.after_insert(said, external_id, again),
            State::GetToJudge(external_id, again, lost) => self.judge_insert(said, external_id, again, lost),
        }
    }
}
