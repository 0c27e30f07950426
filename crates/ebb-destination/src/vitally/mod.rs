//! Vitally: accounts, organizations, users by REST; events and objects by the Analytics API.
//!
//! What is relied on of Vitally's behaviour, and how sure it is, is in `docs/destinations/vitally.md`. The files in
//! reading order: what it takes (`objects.rs`), what must hold of it (`rules.rs`), the settings, requests, replies, and one
//! step machine for each way to write.

mod account;
mod batch;
#[cfg(test)]
mod cases;
mod look_up;
mod objects;
mod reply;
mod request;
mod rules;
mod settings;
mod single;
mod user;

use std::sync::Arc;

use ebb_row::{Outcome, Record, Secret};
use sha2::{Digest, Sha256};

pub use objects::SPEC;
pub(crate) use rules::mapping_faults;
pub use settings::{Region, SettingsError, VitallySettings};

use self::batch::{BatchWrite, MessageKind};
use self::look_up::{ANALYTICS_TOKEN, CheckRest, LookUp, REST_TOKEN, Ready};
use self::request::{Calls, Endpoint, Kind};
use self::settings::Checked;
use self::single::Single;
use crate::spec::{Api, Spec};
use crate::{Budget, CheckLine, Destination, DestinationId, Steps, WritePlan, WriteRecord};

/// A workspace of Vitally.
#[derive(Clone, Debug)]
pub struct Vitally {
    identity: DestinationId,
    budgets: [Budget; 2],
    rest: Result<Endpoint, String>,
    analytics: Result<Endpoint, String>,
}

impl Vitally {
    /// Checks the settings. A missing token is no fault here: see [`Vitally::missing_token`].
    ///
    /// `allowed_hosts` are hosts (`host` or `host:port`) besides Vitally's and loopback to which a token may go;
    /// `budget_salt` keys the hash of the token in [`Budget::key`].
    ///
    /// # Errors
    /// [`SettingsError`], of the first setting that is wrong.
    pub fn new(settings: VitallySettings, allowed_hosts: &[String], budget_salt: &[u8]) -> Result<Self, SettingsError> {
        let checked = settings::check(settings, allowed_hosts)?;
        let account = checked.account.as_deref().map(|account| format!("/{account}")).unwrap_or_default();
        let identity = DestinationId(format!("vitally:{}{account}", checked.rest_authority));
        let analytics_authority = checked.analytics.as_ref().map_or("-", |(_, authority)| authority);
        let budgets = [
            Budget {
                key: budget_key("rest", &checked.rest_authority, checked.rest_authorization.as_ref(), budget_salt),
                per_minute: checked.rest_per_minute,
            },
            Budget {
                key: budget_key(
                    "analytics",
                    analytics_authority,
                    checked.analytics_authorization.as_ref(),
                    budget_salt,
                ),
                per_minute: checked.analytics_per_minute,
            },
        ];
        let (rest, analytics) = endpoints(checked);
        Ok(Self { identity, budgets, rest, analytics })
    }

    /// Returns what is missing for calls to `api`: its token, or the address that region eu does not have by itself.
    pub fn missing_token(&self, api: Api) -> Option<String> {
        self.endpoint(api).as_ref().err().cloned()
    }

    fn endpoint(&self, api: Api) -> &Result<Endpoint, String> {
        match api {
            Api::Rest => &self.rest,
            Api::Analytics => &self.analytics,
        }
    }

    fn write_one(&self, plan: &WritePlan, write: WriteRecord) -> Result<Box<dyn Steps<Vec<Outcome>>>, Outcome> {
        let endpoint = self.rest.clone().map_err(|reason| Outcome::Retry { reason, after: None })?;
        let reject = |reason: String| Outcome::Rejected { reason };
        refusal(plan, &write).map_or(Ok(()), |reason| Err(reject(reason)))?;
        let kind = Kind::of(&plan.object).ok_or_else(|| reject(format!("vitally has no object `{}`", plan.object)))?;
        let calls = Calls { endpoint: endpoint.clone(), kind };
        let no_match = || reject("the match field is empty".to_owned());
        Ok(match kind {
            Kind::Account | Kind::Organization => {
                let machine = account::AccountWrite::new(calls, plan, write).ok_or_else(no_match)?;
                Box::new(Single::new(machine, endpoint))
            }
            Kind::User => {
                let machine = user::UserWrite::new(calls, plan, write).ok_or_else(no_match)?;
                Box::new(Single::new(machine, endpoint))
            }
        })
    }

    fn write_batch(&self, plan: &WritePlan, records: &[WriteRecord]) -> Box<dyn Steps<Vec<Outcome>>> {
        let endpoint = match &self.analytics {
            Ok(endpoint) => endpoint.clone(),
            Err(reason) => {
                let outcome = Outcome::Retry { reason: reason.clone(), after: None };
                return ready(vec![outcome; records.len()]);
            }
        };
        let Some(kind) = MessageKind::of(&plan.object) else {
            let reason = format!("vitally has no object `{}`", plan.object);
            return ready(vec![Outcome::Rejected { reason }; records.len()]);
        };
        let refusals = records.iter().map(|write| refusal(plan, write)).collect();
        Box::new(BatchWrite::new(endpoint, kind, records, refusals))
    }
}

impl Destination for Vitally {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn identity(&self) -> DestinationId {
        self.identity.clone()
    }

    /// REST, then the Analytics API.
    fn budgets(&self) -> Vec<Budget> {
        self.budgets.to_vec()
    }

    fn batch_size(&self, plan: &WritePlan) -> usize {
        match plan.api {
            Api::Rest => 1,
            Api::Analytics => batch::MESSAGES,
        }
    }

    fn write(&self, plan: &WritePlan, records: Vec<WriteRecord>) -> Box<dyn Steps<Vec<Outcome>>> {
        if plan.api == Api::Analytics {
            return self.write_batch(plan, &records);
        }
        let mut records = records.into_iter();
        match (records.next(), records.next()) {
            (None, _) => ready(Vec::new()),
            (Some(write), None) => self.write_one(plan, write).unwrap_or_else(|outcome| ready(vec![outcome])),
            (Some(_), Some(_)) => Box::new(Ready(None, "Vitally's REST API takes one record a call")),
        }
    }

    fn look_up(&self, object: &str, external_ids: Vec<Arc<str>>) -> Box<dyn Steps<Vec<Option<String>>>> {
        match (&self.rest, Kind::of(object)) {
            (Ok(endpoint), Some(kind)) => {
                Box::new(LookUp::new(Calls { endpoint: endpoint.clone(), kind }, external_ids))
            }
            (Err(_), Some(_)) => {
                Box::new(Ready(None, "a look-up reads from Vitally's REST API and needs `rest_token`"))
            }
            (Ok(_) | Err(_), None) => Box::new(Ready(None, "vitally has no such object to look up")),
        }
    }

    fn look_up_size(&self, _object: &str) -> usize {
        1
    }

    fn check(&self) -> Vec<Box<dyn Steps<CheckLine>>> {
        let line = |what: &str, text: String| -> Box<dyn Steps<CheckLine>> {
            Box::new(Ready(Some(CheckLine { what: what.to_owned(), works: None, text }), ""))
        };
        let rest = match &self.rest {
            Ok(endpoint) => Box::new(CheckRest::new(endpoint.clone())),
            Err(reason) => line(REST_TOKEN, reason.clone()),
        };
        let analytics = match &self.analytics {
            Ok(endpoint) => format!("cannot be tried at {} without writing", endpoint.base),
            Err(reason) => reason.clone(),
        };
        vec![rest, line(ANALYTICS_TOKEN, analytics)]
    }

    fn judge_record(&self, plan: &WritePlan, record: &Record) -> Result<(), String> {
        rules::judge_record(plan, record)
    }
}

/// Why a record is not sent at all.
fn refusal(plan: &WritePlan, write: &WriteRecord) -> Option<String> {
    if request::has_look_up(&write.record.fields) {
        return Some("a look-up was not resolved before sending".to_owned());
    }
    rules::judge_record(plan, &write.record).err()
}

fn ready(outcomes: Vec<Outcome>) -> Box<dyn Steps<Vec<Outcome>>> {
    Box::new(Ready(Some(outcomes), "the write has ended"))
}

fn endpoints(checked: Checked) -> (Result<Endpoint, String>, Result<Endpoint, String>) {
    let endpoint = |base: String, authorization: Secret, budget: usize| Endpoint {
        base: base.into(),
        masks: settings::masks(&authorization).into(),
        authorization,
        budget,
    };
    let rest = match checked.rest_authorization {
        Some(authorization) => Ok(endpoint(checked.rest_base, authorization, 0)),
        None => {
            Err("`rest_token` is not set: it is in Vitally under Settings > Integrations > Vitally REST API".to_owned())
        }
    };
    let analytics = match (checked.analytics, checked.analytics_authorization) {
        (Some((base, _)), Some(authorization)) => Ok(endpoint(base, authorization, 1)),
        (None, _) => {
            Err("`analytics_url` is not set: Vitally documents no host of the Analytics API for this region; \
                          ask Vitally for it"
                .to_owned())
        }
        (Some(_), None) => Err("`analytics_token` is not set: it is in Vitally under Settings > Integrations > \
                                Vitally Analytics API"
            .to_owned()),
    };
    (rest, analytics)
}

/// The host, and a keyed hash of the token: two destinations with one token share a budget, and a state file betrays
/// nothing of the token.
fn budget_key(api: &str, authority: &str, authorization: Option<&Secret>, salt: &[u8]) -> String {
    let Some(authorization) = authorization else { return format!("{api}:{authority}:none") };
    let mut hash = Sha256::new();
    hash.update(u64::try_from(salt.len()).unwrap_or(u64::MAX).to_be_bytes());
    hash.update(salt);
    hash.update(authorization.expose().as_bytes());
    let digest = hash.finalize();
    let first = digest.first_chunk::<16>().map_or(0, |bytes| u128::from_be_bytes(*bytes));
    format!("{api}:{authority}:{first:032x}")
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::*;

    fn settings() -> VitallySettings {
        VitallySettings { subdomain: Some("acme".to_owned()), ..VitallySettings::new(Region::Us) }
    }

    fn made(settings: VitallySettings) -> Vitally {
        Vitally::new(settings, &[], b"salt").expect("good settings")
    }

    #[test]
    fn identity_is_where_and_not_with_which_token() {
        let bare = made(settings());
        assert_eq!(bare.identity().0, "vitally:acme.rest.vitally.io/acme");
        let token = made(VitallySettings { rest_token: Some(Secret::new("sk_live_1")), ..settings() });
        assert_eq!(bare.identity(), token.identity());
        let local = Url::parse("http://127.0.0.1:8080/base/").expect("a URL");
        let local = made(VitallySettings { rest_url: Some(local), ..settings() });
        assert_eq!(local.identity().0, "vitally:127.0.0.1:8080/acme");
        let labelled = VitallySettings { account_label: Some("trial".to_owned()), ..VitallySettings::new(Region::Eu) };
        assert_eq!(made(labelled).identity().0, "vitally:rest.vitally-eu.io/trial");
    }

    #[test]
    fn a_budget_belongs_to_a_host_and_a_token_whatever_its_form() {
        let key = |token: &str, salt: &[u8]| {
            let settings = VitallySettings { rest_token: Some(Secret::new(token)), ..settings() };
            Vitally::new(settings, &[], salt).expect("good settings").budgets()[0].key.clone()
        };
        assert_eq!(key("sk_live_abc", b"salt"), key("Basic c2tfbGl2ZV9hYmM6", b"salt"));
        assert_ne!(key("sk_live_abc", b"salt"), key("sk_live_abd", b"salt"));
        assert_ne!(key("sk_live_abc", b"salt"), key("sk_live_abc", b"pepper"));
        assert!(!key("sk_live_abc", b"salt").contains("sk_live"));
        let budgets = made(settings()).budgets();
        assert_eq!((budgets[0].per_minute, budgets[1].per_minute), (1000, 60));
        assert_ne!(budgets[0].key, budgets[1].key);
    }

    #[test]
    fn a_token_is_missed_only_by_what_needs_it() {
        let rest_only = made(VitallySettings { rest_token: Some(Secret::new("sk_live_1")), ..settings() });
        assert_eq!(rest_only.missing_token(Api::Rest), None);
        assert!(rest_only.missing_token(Api::Analytics).expect("missing").contains("analytics_token"));
        let eu = VitallySettings {
            analytics_token: Some(Secret::new("abc")),
            subdomain: Some("acme".to_owned()),
            ..VitallySettings::new(Region::Eu)
        };
        let reason = made(eu).missing_token(Api::Analytics).expect("missing");
        assert!(reason.contains("analytics_url"), "{reason}");
    }

    #[test]
    fn debug_shows_no_token() {
        let vitally = made(VitallySettings {
            rest_token: Some(Secret::new("sk_live_canary")),
            analytics_token: Some(Secret::new("canary")),
            ..settings()
        });
        let text = format!("{vitally:?}");
        assert!(!text.contains("canary") && !text.contains("c2tf"), "{text}");
    }
}
