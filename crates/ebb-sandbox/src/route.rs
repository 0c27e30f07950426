//! From method and path to the operation they name.

use hyper::Method;

/// A kind of record with an endpoint of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Account,
    Organization,
    User,
}

/// A kind of Analytics message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MessageKind {
    Organization,
    Account,
    User,
    Track,
    Unlink,
    CustomObjectInstance,
}

impl MessageKind {
    /// The kind with this name in a batch's `type` and in the path.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "organization" => Self::Organization,
            "account" => Self::Account,
            "user" => Self::User,
            "track" => Self::Track,
            "unlink" => Self::Unlink,
            "customobjectinstance" => Self::CustomObjectInstance,
            _ => return None,
        })
    }
}

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    List(Kind),
    Get(Kind),
    Create(Kind),
    Update(Kind),
    Delete(Kind),
    SearchUsers,
    AccountUsers,
    OrganizationAccounts,
    OrganizationUsers,
    CustomFields,
    ListAdmins,
    SearchAdmins,
    ListCustomObjects,
    GetCustomObject,
    ListInstances,
    SearchInstances,
    UnknownRest,
    Message(MessageKind),
    Batch,
    UnknownAnalytics,
    /// The stand-in's own pages.
    Own,
}

/// Which of the two APIs an operation belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Api {
    Rest,
    Analytics,
    Own,
}

impl Operation {
    pub(crate) fn api(self) -> Api {
        match self {
            Self::Message(_) | Self::Batch | Self::UnknownAnalytics => Api::Analytics,
            Self::Own => Api::Own,
            Self::List(_)
            | Self::Get(_)
            | Self::Create(_)
            | Self::Update(_)
            | Self::Delete(_)
            | Self::SearchUsers
            | Self::AccountUsers
            | Self::OrganizationAccounts
            | Self::OrganizationUsers
            | Self::CustomFields
            | Self::ListAdmins
            | Self::SearchAdmins
            | Self::ListCustomObjects
            | Self::GetCustomObject
            | Self::ListInstances
            | Self::SearchInstances
            | Self::UnknownRest => Api::Rest,
        }
    }

    /// The name by which faults and counts know the operation: method and path with `:id` for an id.
    pub(crate) fn name(self) -> &'static str {
        use Kind::{Account, Organization, User};
        match self {
            Self::List(Account) => "GET /resources/accounts",
            Self::List(Organization) => "GET /resources/organizations",
            Self::List(User) => "GET /resources/users",
            Self::Get(Account) => "GET /resources/accounts/:id",
            Self::Get(Organization) => "GET /resources/organizations/:id",
            Self::Get(User) => "GET /resources/users/:id",
            Self::Create(Account) => "POST /resources/accounts",
            Self::Create(Organization) => "POST /resources/organizations",
            Self::Create(User) => "POST /resources/users",
            Self::Update(Account) => "PUT /resources/accounts/:id",
            Self::Update(Organization) => "PUT /resources/organizations/:id",
            Self::Update(User) => "PUT /resources/users/:id",
            Self::Delete(Account) => "DELETE /resources/accounts/:id",
            Self::Delete(Organization) => "DELETE /resources/organizations/:id",
            Self::Delete(User) => "DELETE /resources/users/:id",
            Self::SearchUsers => "GET /resources/users/search",
            Self::AccountUsers => "GET /resources/accounts/:id/users",
            Self::OrganizationAccounts => "GET /resources/organizations/:id/accounts",
            Self::OrganizationUsers => "GET /resources/organizations/:id/users",
            Self::CustomFields => "GET /resources/customFields",
            Self::ListAdmins => "GET /resources/admins",
            Self::SearchAdmins => "GET /resources/admins/search",
            Self::ListCustomObjects => "GET /resources/customObjects",
            Self::GetCustomObject => "GET /resources/customObjects/:id",
            Self::ListInstances => "GET /resources/customObjects/:id/instances",
            Self::SearchInstances => "GET /resources/customObjects/:id/instances/search",
            Self::UnknownRest => "unknown REST request",
            Self::Message(MessageKind::Organization) => "POST /analytics/v1/organization",
            Self::Message(MessageKind::Account) => "POST /analytics/v1/account",
            Self::Message(MessageKind::User) => "POST /analytics/v1/user",
            Self::Message(MessageKind::Track) => "POST /analytics/v1/track",
            Self::Message(MessageKind::Unlink) => "POST /analytics/v1/unlink",
            Self::Message(MessageKind::CustomObjectInstance) => "POST /analytics/v1/customobjectinstance",
            Self::Batch => "POST /analytics/v1/batch",
            Self::UnknownAnalytics => "unknown Analytics request",
            Self::Own => "sandbox",
        }
    }

    fn named(method: &Method, path: &[&str]) -> Self {
        let is = |wanted: Method| *method == wanted;
        match path {
            ["resources", kind] if let Some(kind) = kind_of(kind) => match () {
                () if is(Method::GET) => Self::List(kind),
                () if is(Method::POST) => Self::Create(kind),
                () => Self::UnknownRest,
            },
            ["resources", "users", "search"] if is(Method::GET) => Self::SearchUsers,
            ["resources", kind, id] if let (Some(kind), false) = (kind_of(kind), id.is_empty()) => match () {
                () if is(Method::GET) => Self::Get(kind),
                () if is(Method::PUT) => Self::Update(kind),
                () if is(Method::DELETE) => Self::Delete(kind),
                () => Self::UnknownRest,
            },
            ["resources", "accounts", _, "users"] if is(Method::GET) => Self::AccountUsers,
            ["resources", "organizations", _, "accounts"] if is(Method::GET) => Self::OrganizationAccounts,
            ["resources", "organizations", _, "users"] if is(Method::GET) => Self::OrganizationUsers,
            ["resources", "customFields"] if is(Method::GET) => Self::CustomFields,
            ["resources", "admins"] if is(Method::GET) => Self::ListAdmins,
            ["resources", "admins", "search"] if is(Method::GET) => Self::SearchAdmins,
            ["resources", "customObjects"] if is(Method::GET) => Self::ListCustomObjects,
            ["resources", "customObjects", _] if is(Method::GET) => Self::GetCustomObject,
            ["resources", "customObjects", _, "instances"] if is(Method::GET) => Self::ListInstances,
            ["resources", "customObjects", _, "instances", "search"] if is(Method::GET) => Self::SearchInstances,
            ["resources", ..] => Self::UnknownRest,
            ["analytics", "v1", "batch"] if is(Method::POST) => Self::Batch,
            ["analytics", "v1", kind] if let (Some(kind), true) = (MessageKind::named(kind), is(Method::POST)) => {
                Self::Message(kind)
            }
            ["analytics", ..] => Self::UnknownAnalytics,
            _ => Self::Own,
        }
    }
}

fn kind_of(name: &str) -> Option<Kind> {
    match name {
        "accounts" => Some(Kind::Account),
        "organizations" => Some(Kind::Organization),
        "users" => Some(Kind::User),
        _ => None,
    }
}

/// A request line, read.
#[derive(Debug, Clone)]
pub(crate) struct Route {
    pub(crate) operation: Operation,
    /// The path's third segment, decoded: an id or externalId. Empty where the path has none.
    pub(crate) id: String,
    /// The query's pairs, decoded, in their order.
    pub(crate) query: Vec<(String, String)>,
}

impl Route {
    pub(crate) fn read(method: &Method, path: &str, query: Option<&str>) -> Self {
        let segments: Vec<&str> = path.strip_prefix('/').unwrap_or(path).split('/').collect();
        let query = query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        Self {
            operation: Operation::named(method, &segments),
            id: segments.get(2).map(|id| decode(id, false)).unwrap_or_default(),
            query: query
                .map(|pair| {
                    let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
                    (decode(key, true), decode(value, true))
                })
                .collect(),
        }
    }

    pub(crate) fn parameter(&self, key: &str) -> Option<&str> {
        self.query.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }
}

/// Decodes `%XX`, and `+` as a space in queries. What is no escape stays as it is.
fn decode(text: &str, in_query: bool) -> String {
    if !text.contains(['%', '+']) {
        return text.to_owned();
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let escaped = match (first, after) {
            (b'%', [high, low, after @ ..]) => hex(*high).zip(hex(*low)).map(|(high, low)| (high * 16 + low, after)),
            _ => None,
        };
        let (byte, after) = match escaped {
            Some(decoded) => decoded,
            None if in_query && *first == b'+' => (b' ', after),
            None => (*first, after),
        };
        bytes.push(byte);
        rest = after;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_named_by_method_and_path() {
        let check = |method: Method, path: &str, name: &str| {
            assert_eq!(Route::read(&method, path, None).operation.name(), name, "{method} {path}");
        };
        check(Method::POST, "/resources/accounts", "POST /resources/accounts");
        check(Method::PUT, "/resources/users/a%2Fb", "PUT /resources/users/:id");
        check(Method::GET, "/resources/users/search", "GET /resources/users/search");
        check(Method::DELETE, "/resources/organizations/7", "DELETE /resources/organizations/:id");
        check(Method::GET, "/resources/accounts/", "unknown REST request");
        check(Method::GET, "/resources/notes", "unknown REST request");
        check(Method::PATCH, "/resources/accounts/7", "unknown REST request");
        check(Method::POST, "/analytics/v1/track", "POST /analytics/v1/track");
        check(Method::GET, "/analytics/v1/track", "unknown Analytics request");
        check(Method::POST, "/analytics/v1/identify", "unknown Analytics request");
        check(Method::GET, "/sandbox/state", "sandbox");
    }

    #[test]
    fn ids_and_parameters_are_decoded() {
        let route = Route::read(&Method::GET, "/resources/users/a%2Fb+c%C3%A9%zz", Some("email=a%2Bb%40x+y&limit"));
        assert_eq!(route.id, "a/b+cé%zz");
        assert_eq!(route.parameter("email"), Some("a+b@x y"));
        assert_eq!(route.parameter("limit"), Some(""));
        assert_eq!(route.parameter("from"), None);
    }
}
