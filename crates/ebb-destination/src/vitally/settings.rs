use base64::Engine;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use base64::engine::{DecodePaddingMode, general_purpose};
use ebb_row::Secret;
use url::Url;

use crate::host::{HostFault, is_label, pin};

/// The domains below which a token of Vitally may go.
const HOSTS: &[&str] = &["vitally.io", "vitally-eu.io"];

/// Where the workspace lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Region {
    /// `us`: hosts carry the subdomain.
    Us,
    /// `eu`: one shared REST host; the Analytics host is not documented.
    Eu,
}

/// A destination of `type: vitally` as `ebb.yaml` says it, environment filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VitallySettings {
    /// `region`.
    pub region: Region,
    /// `subdomain`: the first label of the address at which one logs in; needed for us unless `rest_url` is given.
    pub subdomain: Option<String>,
    /// `rest_token`, in any of the three forms in which Vitally and other tools show it.
    pub rest_token: Option<Secret>,
    /// `analytics_token`, as shown.
    pub analytics_token: Option<Secret>,
    /// `rest_url`: another base URL for REST.
    pub rest_url: Option<Url>,
    /// `analytics_url`: another base URL for the Analytics API.
    pub analytics_url: Option<Url>,
    /// `account`: tells workspaces apart where host and subdomain do not.
    pub account_label: Option<String>,
    /// `rate_limit.per_minute`: REST requests a minute that the key allows.
    pub per_minute: u32,
    /// `rate_limit.share`: percent of the limits that ebb may use, 1 to 100.
    pub share: u8,
    /// Analytics batches a minute.
    pub analytics_per_minute: u32,
}

impl VitallySettings {
    /// Returns the settings of `region` with nothing else said: 1,000 REST requests and 60 batches a minute.
    pub fn new(region: Region) -> Self {
        Self {
            region,
            subdomain: None,
            rest_token: None,
            analytics_token: None,
            rest_url: None,
            analytics_url: None,
            account_label: None,
            per_minute: 1000,
            share: 100,
            analytics_per_minute: 60,
        }
    }
}

/// What is wrong with the settings; the text names the setting and holds no token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// Region us without a subdomain.
    #[error("`subdomain` is needed for region us: it is `acme` when you log in at https://acme.vitally.io")]
    NoSubdomain,
    /// The subdomain is not one label.
    #[error("`subdomain` must be one label of letters, digits and hyphens, such as `acme`")]
    Subdomain,
    /// An override is no place for a token.
    #[error("`{setting}` {fault}")]
    Url {
        /// The setting.
        setting: &'static str,
        /// Why.
        fault: HostFault,
    },
    /// A token has characters that no token has.
    #[error("`{setting}` has spaces, control characters or other characters that a token cannot have")]
    Token {
        /// The setting.
        setting: &'static str,
    },
    /// A rate of zero, or a share that is no percentage.
    #[error("`{setting}` must be {expected}")]
    Rate {
        /// The setting.
        setting: &'static str,
        /// What it takes.
        expected: &'static str,
    },
}

/// Settings after the checks: what a request needs.
#[derive(Clone, Debug)]
pub(super) struct Checked {
    /// Base URL of REST, without a final slash.
    pub(super) rest_base: String,
    /// Host of REST, with its port where it is not the usual one.
    pub(super) rest_authority: String,
    /// Base URL and host of the Analytics API, where they are known.
    pub(super) analytics: Option<(String, String)>,
    /// What tells workspaces apart on one host.
    pub(super) account: Option<String>,
    /// `Basic ...` for REST.
    pub(super) rest_authorization: Option<Secret>,
    /// `Basic ...` for the Analytics API.
    pub(super) analytics_authorization: Option<Secret>,
    /// Requests a minute by REST, after the share.
    pub(super) rest_per_minute: u32,
    /// Batches a minute, after the share.
    pub(super) analytics_per_minute: u32,
}

pub(super) fn check(settings: VitallySettings, allowed_hosts: &[String]) -> Result<Checked, SettingsError> {
    let subdomain = settings.subdomain.map(|text| text.to_ascii_lowercase()).filter(|text| !text.is_empty());
    if subdomain.as_deref().is_some_and(|text| !is_label(text)) {
        return Err(SettingsError::Subdomain);
    }
    for (setting, url) in [("rest_url", &settings.rest_url), ("analytics_url", &settings.analytics_url)] {
        if let Some(url) = url {
            pin(url, HOSTS, allowed_hosts).map_err(|fault| SettingsError::Url { setting, fault })?;
        }
    }
    let own = |api: &str| {
        subdomain.as_deref().filter(|_| settings.region == Region::Us).map(|name| {
            let host = format!("{name}.{api}.vitally.io");
            (format!("https://{host}"), host)
        })
    };
    let given = |url: &Option<Url>| {
        url.as_ref().map(|url| (url.as_str().trim_end_matches('/').to_owned(), crate::host::authority(url)))
    };
    let shared = || {
        (settings.region == Region::Eu)
            .then(|| ("https://rest.vitally-eu.io".to_owned(), "rest.vitally-eu.io".to_owned()))
    };
    let (rest_base, rest_authority) =
        given(&settings.rest_url).or_else(|| own("rest")).or_else(shared).ok_or(SettingsError::NoSubdomain)?;
    let analytics = given(&settings.analytics_url).or_else(|| own("api"));
    Ok(Checked {
        rest_base,
        rest_authority,
        analytics,
        rest_authorization: token(settings.rest_token.as_ref(), "rest_token", rest_header)?,
        analytics_authorization: token(settings.analytics_token.as_ref(), "analytics_token", analytics_header)?,
        account: settings.account_label.filter(|text| !text.is_empty()).or(subdomain),
        rest_per_minute: rate(settings.per_minute, settings.share, "rate_limit.per_minute")?,
        analytics_per_minute: rate(settings.analytics_per_minute, settings.share, "rate_limit.analytics_per_minute")?,
    })
}

fn rate(per_minute: u32, share: u8, setting: &'static str) -> Result<u32, SettingsError> {
    if per_minute == 0 {
        return Err(SettingsError::Rate { setting, expected: "1 or more" });
    }
    if !(1..=100).contains(&share) {
        return Err(SettingsError::Rate { setting: "rate_limit.share", expected: "from 1% to 100%" });
    }
    let part = u64::from(per_minute) * u64::from(share) / 100;
    Ok(u32::try_from(part).unwrap_or(u32::MAX).max(1))
}

/// Makes the header of a token; an empty one counts as none.
fn token(
    secret: Option<&Secret>,
    setting: &'static str,
    header: fn(&str) -> String,
) -> Result<Option<Secret>, SettingsError> {
    let Some(text) = secret.map(|secret| secret.expose().trim()).filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let bare = after_basic(text).unwrap_or(text);
    if bare.is_empty() || !bare.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(SettingsError::Token { setting });
    }
    Ok(Some(Secret::new(header(text))))
}

fn after_basic(text: &str) -> Option<&str> {
    let (word, rest) = text.split_once(' ')?;
    word.eq_ignore_ascii_case("basic").then(|| rest.trim())
}

/// The three forms in which users hold a REST token: `Basic xxx` (Vitally's "Basic Auth Header"), the same without its
/// first word, and the secret itself, which becomes the user name of an empty password.
fn rest_header(text: &str) -> String {
    if let Some(ready) = after_basic(text) {
        return format!("Basic {ready}");
    }
    let lenient = GeneralPurpose::new(
        &base64::alphabet::STANDARD,
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
    );
    let is_ready = lenient
        .decode(text)
        .is_ok_and(|bytes| bytes.ends_with(b":") && bytes.iter().all(u8::is_ascii_graphic) && bytes.len() > 1);
    if is_ready { format!("Basic {text}") } else { format!("Basic {}", STANDARD.encode(format!("{text}:"))) }
}

/// The Analytics API takes its token exactly as shown, without a further encoding.
fn analytics_header(text: &str) -> String {
    format!("Basic {}", after_basic(text).unwrap_or(text))
}

/// Returns the texts that betray a token: the header's, and the secret inside it.
pub(super) fn masks(authorization: &Secret) -> Vec<Secret> {
    let header = authorization.expose();
    let bare = after_basic(header).unwrap_or(header);
    let mut masks = vec![Secret::new(bare)];
    if let Ok(bytes) = general_purpose::STANDARD.decode(bare)
        && let Ok(text) = String::from_utf8(bytes)
    {
        let secret = text.trim_end_matches(':');
        if secret.len() >= 6 {
            masks.push(Secret::new(secret));
        }
    }
    masks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> VitallySettings {
        VitallySettings { subdomain: Some("acme".to_owned()), ..VitallySettings::new(Region::Us) }
    }

    fn rest_authorization(text: &str) -> Option<String> {
        let settings = VitallySettings { rest_token: Some(Secret::new(text)), ..settings() };
        check(settings, &[]).expect("good").rest_authorization.map(|secret| secret.expose().to_owned())
    }

    #[test]
    fn three_forms_of_a_rest_token_are_one_header() {
        let header = "Basic c2tfbGl2ZV8xMjM0OjE6";
        for form in
            ["sk_live_1234:1", "Basic c2tfbGl2ZV8xMjM0OjE6", "basic  c2tfbGl2ZV8xMjM0OjE6", "c2tfbGl2ZV8xMjM0OjE6"]
        {
            assert_eq!(rest_authorization(form).as_deref(), Some(header), "{form}");
        }
        assert_eq!(rest_authorization(" sk_live_abc\n").as_deref(), Some("Basic c2tfbGl2ZV9hYmM6"));
        assert_eq!(rest_authorization("c2tfbGl2ZV9hYmM6").as_deref(), Some("Basic c2tfbGl2ZV9hYmM6"));
        assert_eq!(rest_authorization("  "), None);
    }

    #[test]
    fn an_analytics_token_is_sent_as_shown() {
        for form in ["abc.DEF-1=", "Basic abc.DEF-1="] {
            let settings = VitallySettings { analytics_token: Some(Secret::new(form)), ..settings() };
            let header = check(settings, &[]).expect("good").analytics_authorization.expect("set");
            assert_eq!(header.expose(), "Basic abc.DEF-1=");
        }
    }

    #[test]
    fn a_token_with_a_line_break_is_refused_without_being_shown() {
        let settings = VitallySettings { rest_token: Some(Secret::new("sk_live_1\r\nx-evil: 1")), ..settings() };
        let error = check(settings, &[]).expect_err("refused");
        assert_eq!(error, SettingsError::Token { setting: "rest_token" });
        assert!(!error.to_string().contains("evil"));
    }

    #[test]
    fn hosts_come_from_region_and_subdomain() {
        let us = check(settings(), &[]).expect("good");
        assert_eq!(us.rest_base, "https://acme.rest.vitally.io");
        assert_eq!(us.analytics.expect("known").0, "https://acme.api.vitally.io");
        let eu = check(VitallySettings::new(Region::Eu), &[]).expect("good");
        assert_eq!(eu.rest_base, "https://rest.vitally-eu.io");
        assert_eq!(eu.analytics, None);
        assert_eq!(check(VitallySettings::new(Region::Us), &[]).expect_err("refused"), SettingsError::NoSubdomain);
        for subdomain in ["a.b", "evil.example/", "a b", "-a", "a@b", "ä"] {
            let settings = VitallySettings { subdomain: Some(subdomain.to_owned()), ..settings() };
            assert_eq!(check(settings, &[]).expect_err(subdomain), SettingsError::Subdomain);
        }
    }

    #[test]
    fn both_overrides_are_pinned() {
        for setting in ["rest_url", "analytics_url"] {
            let url = Some(Url::parse("https://rest.vitally.io.evil").expect("a URL"));
            let mut bad = settings();
            if setting == "rest_url" {
                bad.rest_url = url;
            } else {
                bad.analytics_url = url;
            }
            let error = check(bad.clone(), &[]).expect_err("refused");
            assert!(matches!(error, SettingsError::Url { setting: named, .. } if named == setting), "{error}");
            assert!(check(bad, &["rest.vitally.io.evil".to_owned()]).is_ok());
        }
    }

    #[test]
    fn a_share_leaves_some_of_the_budget() {
        let checked = check(VitallySettings { share: 80, ..settings() }, &[]).expect("good");
        assert_eq!((checked.rest_per_minute, checked.analytics_per_minute), (800, 48));
        assert!(check(VitallySettings { share: 0, ..settings() }, &[]).is_err());
        assert!(check(VitallySettings { per_minute: 0, ..settings() }, &[]).is_err());
    }
}
