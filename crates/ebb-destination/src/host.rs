//! Where a token may go: the vendor's hosts, loopback, and hosts that the environment allows.

use url::{Host, Url};

/// Why a URL is no place for a token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostFault {
    /// Neither https nor, on loopback, http.
    #[error("must be an https URL (http is for loopback only)")]
    Scheme,
    /// It carries a user name, a password, a query or a fragment.
    #[error("must be a plain base URL, without user name, password, query or fragment")]
    Parts,
    /// The host is not the vendor's.
    #[error(
        "names `{0}`, which is not a host that the token belongs to; \
         if that is meant, list it in `EBB_ALLOW_HOSTS`"
    )]
    Foreign(String),
}

/// Checks that a token may be sent to `url`: a host below one of `suffixes` (`vitally.io` admits `rest.vitally.io`) on
/// the standard port, loopback, or an entry of `allowed` (`host` for the standard port, or `host:port`).
///
/// # Errors
/// [`HostFault`] otherwise; its text holds the host only.
pub fn pin(url: &Url, suffixes: &[&str], allowed: &[String]) -> Result<(), HostFault> {
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
        return Err(HostFault::Parts);
    }
    let is_loopback = match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(domain)) => domain == "localhost",
        None => return Err(HostFault::Scheme),
    };
    if url.scheme() != "https" && !(is_loopback && url.scheme() == "http") {
        return Err(HostFault::Scheme);
    }
    if is_loopback {
        return Ok(());
    }
    let authority = authority(url);
    if allowed.iter().any(|entry| entry.trim().eq_ignore_ascii_case(&authority)) {
        return Ok(());
    }
    let belongs = url.port().is_none()
        && matches!(url.host(), Some(Host::Domain(domain))
            if suffixes.iter().any(|suffix| is_below(domain, suffix)));
    if belongs { Ok(()) } else { Err(HostFault::Foreign(authority)) }
}

/// Returns the host, with its port unless that is the scheme's own.
pub(crate) fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// Whether `domain` is one or more labels below `suffix`; a trailing dot or an empty label is none.
fn is_below(domain: &str, suffix: &str) -> bool {
    domain
        .strip_suffix(suffix)
        .and_then(|rest| rest.strip_suffix('.'))
        .is_some_and(|labels| labels.split('.').all(is_label))
}

/// Whether `text` is one DNS label: ASCII letters, digits and inner hyphens, at most 63.
pub(crate) fn is_label(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    const VITALLY: &[&str] = &["vitally.io", "vitally-eu.io"];

    fn verdict(url: &str, allowed: &[&str]) -> Result<(), HostFault> {
        let allowed: Vec<String> = allowed.iter().map(|&host| host.to_owned()).collect();
        pin(&Url::parse(url).expect(url), VITALLY, &allowed)
    }

    #[test]
    fn a_token_goes_to_its_vendor_to_loopback_and_to_allowed_hosts() {
        for url in [
            "https://acme.rest.vitally.io",
            "https://rest.vitally.io/",
            "https://rest.vitally-eu.io",
            "https://ACME.REST.VITALLY.IO:443/base",
            "http://127.0.0.1:8080",
            "http://127.9.9.9",
            "http://[::1]:9000/vitally",
            "http://localhost:1",
            "https://localhost",
        ] {
            assert_eq!(verdict(url, &[]), Ok(()), "{url}");
        }
        assert_eq!(verdict("https://proxy.example", &["proxy.example"]), Ok(()));
        assert_eq!(verdict("https://proxy.example:8443/v", &["Proxy.Example:8443"]), Ok(()));
    }

    #[test]
    fn a_token_goes_nowhere_else() {
        for url in [
            "https://vitally.io.evil",
            "https://rest.vitally.io.evil.example",
            "https://evilvitally.io",
            "https://rest.evilvitally.io",
            "https://vitally.io",
            "https://rest.vitally.io.",
            "https://rest.vitally.io:8443",
            "https://rest.vitally.io@evil.example",
            "https://user:password@rest.vitally.io",
            "https://token@rest.vitally.io",
            "https://evil.example/rest.vitally.io",
            "https://evil.example#rest.vitally.io",
            "https://evil.example?rest.vitally.io",
            "https://rest.vitally.io?next=evil.example",
            "https://rest.vitally.io#fragment",
            "https://rest.vit\u{430}lly.io",
            "https://rest.vitally.io\u{3002}evil.example",
            "https://rest.vitally.io%2eevil.example",
            "https://rest_vitally.io",
            "https://a_b.vitally.io",
            "https://-a.vitally.io",
            "https://.vitally.io",
            "https://vitally-eu.io.vitally.example",
            "https://rest.vitally.com",
            "https://xn--vitally-.io",
            "http://rest.vitally.io",
            "ftp://rest.vitally.io",
            "http://localhost.evil.example",
            "http://localhost.",
            "http://api.localhost",
            "http://127.0.0.1.evil.example",
            "http://0.0.0.0",
            "http://[::]",
            "http://[::ffff:127.0.0.1]",
            "https://169.254.169.254",
            "https://10.0.0.1",
            "http://2130706434.example",
        ] {
            // Where the parser itself refuses the text there is no URL to send to.
            let Ok(parsed) = Url::parse(url) else { continue };
            assert!(pin(&parsed, VITALLY, &[]).is_err(), "{url}");
        }
    }

    #[test]
    fn an_allowed_host_is_that_host_and_port_by_https() {
        assert!(verdict("https://proxy.example:8443", &["proxy.example"]).is_err());
        assert!(verdict("https://proxy.example", &["proxy.example:8443"]).is_err());
        assert!(verdict("https://a.proxy.example", &["proxy.example"]).is_err());
        assert!(verdict("http://proxy.example", &["proxy.example"]).is_err());
        assert!(verdict("https://user@proxy.example", &["proxy.example"]).is_err());
        assert!(verdict("https://other.example", &["", "*"]).is_err());
    }
}
