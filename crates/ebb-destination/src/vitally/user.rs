//! Users by REST: one record, one to four calls.
//!
//! What a POST with a known external id does is not documented for users, so it is sent only after a read found none.
//! Whether a PUT's `accountIds` replace the links or add to them is not documented either, so links are sent as the
//! union of those that are there and those that are wanted, and not at all when nothing is to be added.

use std::sync::Arc;

use ebb_row::{Created, Object, SyncMode, Value};

use super::objects::{LINKS_MESSAGE, creates};
use super::reply::{
    Answered, Flow, Said, accepted, after_last_put, after_put, after_read, rejected, retry, skipped, unknown,
};
use super::request::{Calls, fields_to_create, fields_to_update, id_text, ids, is_same_object, is_uuid_shaped};
use super::single::Machine;
use crate::http::{Repeat, Request};
use crate::{WritePlan, WriteRecord};

/// The two fields that hold Vitally's ids of what a user is linked to.
const LINKS: [&str; 2] = ["accountIds", "organizationIds"];

/// The write of one user.
pub(super) struct UserWrite {
    calls: Calls,
    mode: SyncMode,
    record: WriteRecord,
    target: Target,
    /// The links that are wanted and not known to be there.
    wanted: [Vec<Arc<str>>; 2],
}

enum Target {
    Id(Arc<str>),
    ExternalId(Arc<str>),
    Email(Arc<str>),
}

/// The call that is out.
pub(super) enum State {
    /// Search by email; whether with the email in lower case.
    Search(bool),
    /// GET by Vitally's id, told by the user, by an earlier answer or by a search, to know the links.
    GetById(Then),
    /// PUT by Vitally's id.
    PutById(Then),
    /// PUT by the external id.
    PutByExternalId,
    /// GET by the external id.
    GetByExternalId,
    /// PUT of a user that was there a moment ago.
    PutFound(Created),
    /// POST; whether an earlier one got no answer.
    Post(bool),
    /// GET after a POST was refused: perhaps the user has come to be. Holds the refusal.
    GetAfterRefusal(String),
    /// GET after a POST that got no answer.
    GetToJudge(bool, String),
}

/// What follows when a user is not there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    /// It is looked for as if its id were not known.
    Find,
    /// It is missing.
    Missing,
}

impl UserWrite {
    /// `None` where the record lacks its match field's value.
    pub(super) fn new(calls: Calls, plan: &WritePlan, mut record: WriteRecord) -> Option<Self> {
        let target = match plan.match_field.as_deref() {
            Some("id") => Target::Id(id_text(&record.record, "id")?),
            Some("email") => Target::Email(id_text(&record.record, "email")?.trim().into()),
            Some(_) | None => Target::ExternalId(id_text(&record.record, "externalId")?),
        };
        let by: &[&str] = match target {
            Target::Id(_) => &["id"],
            Target::ExternalId(_) => &["externalId"],
            Target::Email(_) => &["email", "externalId"],
        };
        if !is_same_object(&record, by) {
            record.id = None;
        }
        let wanted = LINKS.map(|field| {
            let known = record.previous.as_deref().map(|previous| ids(previous, field)).unwrap_or_default();
            let mut wanted = ids(&record.record.fields, field);
            // Links that Vitally accepted for this row are there: only `previous` of the same record says so.
            if record.id.is_some() && wanted.iter().all(|id| known.contains(id)) {
                wanted.clear();
            }
            wanted
        });
        Some(Self { calls, mode: plan.mode, record, target, wanted })
    }

    fn missing<T>(&self) -> Flow<T> {
        match self.mode {
            SyncMode::Update => skipped("no such user in Vitally"),
            SyncMode::Upsert | SyncMode::Insert => rejected("no such user in Vitally"),
        }
    }

    fn external_id(&self) -> Flow<Arc<str>> {
        match id_text(&self.record.record, "externalId") {
            Some(id) => Flow::Continue(id),
            None => rejected("Required field: externalId"),
        }
    }

    fn wants_links(&self) -> bool {
        self.wanted.iter().any(|wanted| !wanted.is_empty())
    }

    /// Reads the user of the record's external id: by its path, or by a search where the path could mean another.
    fn get_by_external_id(&self) -> Flow<Request> {
        let external_id = self.external_id()?;
        if is_uuid_shaped(&external_id) || matches!(&*external_id, "search" | "." | "..") {
            return Flow::Continue(self.calls.search_users("externalId", &external_id));
        }
        self.calls.get(&external_id)
    }

    /// Reads the answer to [`Self::get_by_external_id`].
    fn found(&self, said: Said) -> Flow<Option<Answered>> {
        let external_id = self.external_id()?;
        match said {
            Said::Results(results) => Flow::Continue(results.into_iter().find(|user| user.is_of(&external_id))),
            Said::Record(user) if !user.is_of(&external_id) => {
                rejected("Vitally answers this external id with another user")
            }
            Said::Record(_) | Said::Missing(_) | Said::Refused(_) | Said::NotNow(..) | Said::Open(_) => {
                after_read(said)
            }
        }
    }

    /// The fields of an update, without links.
    fn plain_fields(&self) -> Object {
        let mut fields = fields_to_update(&self.record.record);
        for field in LINKS {
            fields.shift_remove(field);
        }
        fields
    }

    /// Updates a user that was read: links become the union.
    fn put_found(&self, user: &Answered, created: Created) -> Flow<(State, Request)> {
        let mut fields = self.plain_fields();
        for ((field, wanted), current) in LINKS.iter().zip(&self.wanted).zip([&user.accounts, &user.organizations]) {
            if wanted.is_empty() {
                continue;
            }
            let Some(current) = current else {
                return rejected(format!(
                    "Vitally's answer does not tell the user's `{field}`, and sending some could remove others"
                ));
            };
            let added: Vec<&Arc<str>> = wanted.iter().filter(|id| !current.iter().any(|has| **has == ***id)).collect();
            if added.is_empty() {
                continue;
            }
            let union = current.iter().map(|id| Value::text(id.as_str()));
            let union = union.chain(added.into_iter().map(|id| Value::Text(Arc::clone(id)))).collect();
            fields.insert((*field).into(), Value::List(union));
        }
        Flow::Continue((State::PutFound(created), self.calls.put(&user.id, fields)?))
    }

    /// The call for a user whose Vitally id is known.
    fn by_id(&self, id: &str, then: Then) -> Flow<(State, Request)> {
        if self.wants_links() {
            return Flow::Continue((State::GetById(then), self.calls.get(id)?));
        }
        Flow::Continue((State::PutById(then), self.calls.put(id, self.plain_fields())?))
    }

    /// The first call for a user whose Vitally id is not known, or no longer.
    fn find(&self) -> Flow<(State, Request)> {
        match &self.target {
            Target::Id(_) => self.missing(),
            Target::Email(email) => Flow::Continue((State::Search(false), self.calls.search_users("email", email))),
            Target::ExternalId(external_id) => {
                let must_read = creates(self.mode)
                    || self.wants_links()
                    || is_uuid_shaped(external_id)
                    || matches!(&**external_id, "search" | "." | "..");
                if must_read {
                    return Flow::Continue((State::GetByExternalId, self.get_by_external_id()?));
                }
                let request = self.calls.put(external_id, self.plain_fields())?;
                Flow::Continue((State::PutByExternalId, request))
            }
        }
    }

    fn after_search(&self, said: Said, email: &str, lowered: bool) -> Flow<(State, Request)> {
        let users = match said {
            Said::Results(users) => users,
            Said::Missing(_) => Vec::new(),
            Said::Record(_) => return retry("Vitally answered a search with one record", None),
            Said::Refused(_) | Said::NotNow(..) | Said::Open(_) => {
                after_read(said)?;
                Vec::new()
            }
        };
        let lower = email.to_lowercase();
        let mut hits =
            users.into_iter().filter(|user| user.email.as_deref().is_some_and(|theirs| theirs.to_lowercase() == lower));
        match (hits.next(), hits.next()) {
            (None, _) if !lowered && lower != email => {
                Flow::Continue((State::Search(true), self.calls.search_users("email", &lower)))
            }
            (None, _) if self.mode == SyncMode::Update => self.missing(),
            // The user may be there under another email.
            (None, _) => Flow::Continue((State::GetByExternalId, self.get_by_external_id()?)),
            (Some(_), _) if self.mode == SyncMode::Insert => skipped("the user already exists in Vitally"),
            (Some(_), Some(_)) => rejected("more than one user has this email"),
            (Some(user), None) if user.accounts.is_none() && user.organizations.is_none() => {
                self.by_id(&user.id, Then::Missing)
            }
            (Some(user), None) => self.put_found(&user, Created::No),
        }
    }

    fn post(&self, again: bool) -> Flow<(State, Request)> {
        let external_id = self.external_id()?;
        let mut fields = fields_to_create(&self.record.record, &external_id);
        let mut is_linked = false;
        for field in LINKS {
            let links = ids(&self.record.record.fields, field);
            if links.is_empty() {
                fields.shift_remove(field);
            } else {
                is_linked = true;
                fields.insert(field.into(), Value::List(links.into_iter().map(Value::Text).collect()));
            }
        }
        if !is_linked {
            return rejected(LINKS_MESSAGE);
        }
        Flow::Continue((State::Post(again), self.calls.post(fields, Repeat::Checkable)?))
    }

    fn after_get(&self, user: Option<Answered>) -> Flow<(State, Request)> {
        match (user, self.mode) {
            (Some(_), SyncMode::Insert) => skipped("the user already exists in Vitally"),
            (Some(user), SyncMode::Upsert | SyncMode::Update) => self.put_found(&user, Created::No),
            (None, SyncMode::Update) => self.missing(),
            (None, SyncMode::Upsert | SyncMode::Insert) => self.post(false),
        }
    }

    fn after_post(&self, said: Said, again: bool) -> Flow<(State, Request)> {
        match said {
            Said::Record(user) => self.written(*user),
            Said::Refused(reason) | Said::Missing(reason) if self.mode == SyncMode::Upsert => {
                Flow::Continue((State::GetAfterRefusal(reason), self.get_by_external_id()?))
            }
            Said::Refused(reason) | Said::Missing(reason) => rejected(reason),
            Said::NotNow(reason, after) => retry(reason, after),
            Said::Open(reason) => Flow::Continue((State::GetToJudge(again, reason), self.get_by_external_id()?)),
            Said::Results(_) => {
                let reason = "Vitally answered a write with a list".to_owned();
                Flow::Continue((State::GetToJudge(again, reason), self.get_by_external_id()?))
            }
        }
    }

    /// A POST got no answer: is the user there, and is it ours?
    fn judge_post(&self, said: Said, again: bool, lost: String) -> Flow<(State, Request)> {
        match (self.found(said), self.mode) {
            (Flow::Continue(Some(user)), SyncMode::Insert) if user.created == Created::No => {
                skipped("the user already exists in Vitally")
            }
            (Flow::Continue(Some(user)), SyncMode::Insert) => accepted(user, Created::Yes),
            (Flow::Continue(Some(user)), SyncMode::Upsert | SyncMode::Update) => {
                let created = user.created;
                self.put_found(&user, created)
            }
            (Flow::Continue(None), _) if !again => self.post(true),
            (Flow::Continue(None) | Flow::Break(_), _) => unknown(lost),
        }
    }

    fn is_another(&self, user: &Answered) -> bool {
        matches!(&self.target, Target::ExternalId(external_id) if user.is_of_another(external_id))
    }

    /// Ends with the written user, if it is the right one.
    fn written<T>(&self, user: Answered) -> Flow<T> {
        if self.is_another(&user) {
            return rejected("Vitally answers this external id with another user");
        }
        let created = user.created;
        accepted(user, created)
    }
}

impl Machine for UserWrite {
    type State = State;

    fn begin(&self) -> Flow<(State, Request)> {
        match (&self.target, self.mode, &self.record.id) {
            (Target::Id(_), SyncMode::Insert, _) => rejected(super::rules::INSERT_BY_ID),
            (Target::Id(id), SyncMode::Upsert | SyncMode::Update, _) => self.by_id(id, Then::Missing),
            // A changed email or external id is an update of the user that is known, not a new one.
            (Target::Email(_) | Target::ExternalId(_), SyncMode::Upsert | SyncMode::Update, Some(id)) => {
                self.by_id(id, Then::Find)
            }
            (Target::Email(_) | Target::ExternalId(_), _, _) => self.find(),
        }
    }

    fn next(&self, state: State, said: Said) -> Flow<(State, Request)> {
        match state {
            State::Search(lowered) => match &self.target {
                Target::Email(email) => self.after_search(said, email, lowered),
                Target::Id(_) | Target::ExternalId(_) => self.missing(),
            },
            State::GetById(then) => match after_read(said)? {
                Some(user) if then == Then::Find && self.is_another(&user) => self.find(),
                Some(user) => self.put_found(&user, Created::No),
                None if then == Then::Find => self.find(),
                None => self.missing(),
            },
            State::PutById(then) => match after_put(said)? {
                Ok(user) => self.written(Answered { created: Created::No, ..user }),
                Err(_) if then == Then::Find => self.find(),
                Err(_) => self.missing(),
            },
            State::PutByExternalId => match after_put(said)? {
                Ok(user) => self.written(Answered { created: Created::No, ..user }),
                Err(_) => Flow::Continue((State::GetByExternalId, self.get_by_external_id()?)),
            },
            State::GetByExternalId => self.after_get(self.found(said)?),
            State::PutFound(created) => self.written(Answered { created, ..after_last_put(said)? }),
            State::Post(again) => self.after_post(said, again),
            State::GetAfterRefusal(reason) => match self.found(said)? {
                Some(user) => self.put_found(&user, Created::No),
                None => rejected(reason),
            },
            State::GetToJudge(again, lost) => self.judge_post(said, again, lost),
        }
    }
}
