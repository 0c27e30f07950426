//! What Vitally takes, as data (reference: its pages on REST accounts, organizations and users, and on the Analytics API).

use ebb_row::SyncMode::{Insert, Update, Upsert};
use ebb_row::{FieldType, Nulls};

use crate::spec::{Api, FieldSpec, ObjectSpec, OneOf, Spec};

/// Hightouch's words for a user without a link.
pub(super) const LINKS_MESSAGE: &str = "Must specify at least one of: accountIds or organizationIds";
/// The same where the fields hold your own ids.
pub(super) const OWN_LINKS_MESSAGE: &str = "Must specify at least one of: accountId or organizationId";
/// An event that belongs to nobody.
pub(super) const EVENT_IDS_MESSAGE: &str = "Must specify at least one of: accountId, organizationId or userId";

/// The declaration of `type: vitally`.
pub static SPEC: Spec = Spec {
    name: "vitally",
    objects: &[ACCOUNT, ORGANIZATION, USER, EVENT, ACCOUNT_BY_ANALYTICS, ORGANIZATION_BY_ANALYTICS, USER_BY_ANALYTICS],
};

const ACCOUNT: ObjectSpec = ObjectSpec {
    name: "account",
    api: Api::Rest,
    default_api: true,
    modes: &[Upsert, Update, Insert],
    match_fields: &["externalId", "id"],
    fields: &[
        FieldSpec { required: &[Insert], ..text("name", "The account's name; needed to create one") },
        FieldSpec {
            holds_ids_of: "organization",
            ..field("organizationId", FieldType::Id, "Vitally's id of the organization; use $lookup with your own id")
        },
        traits(),
    ],
    one_of: &[],
    nulls: (Nulls::Send, Nulls::Omit),
};

const ORGANIZATION: ObjectSpec = ObjectSpec {
    name: "organization",
    api: Api::Rest,
    default_api: true,
    modes: &[Upsert, Update, Insert],
    match_fields: &["externalId", "id"],
    fields: &[
        FieldSpec { required: &[Insert], ..text("name", "The organization's name; needed to create one") },
        traits(),
    ],
    one_of: &[],
    nulls: (Nulls::Send, Nulls::Omit),
};

const USER: ObjectSpec = ObjectSpec {
    name: "user",
    api: Api::Rest,
    default_api: true,
    modes: &[Upsert, Update, Insert],
    match_fields: &["externalId", "email", "id"],
    fields: &[
        field("externalId", FieldType::Id, "Your id of the user; needed to create one when the match is by email"),
        FieldSpec {
            holds_ids_of: "account",
            ..field("accountIds", FieldType::Ids, "Vitally's ids of the user's accounts; use $lookup with your own ids")
        },
        FieldSpec {
            holds_ids_of: "organization",
            ..field("organizationIds", FieldType::Ids, "Vitally's ids of the user's organizations; use $lookup")
        },
        text("name", "The user's name"),
        text("email", "The user's email; Vitally does not hold it to be unique"),
        text("avatar", "URL of a picture"),
        field("unsubscribedFromConversations", FieldType::Boolean, "Whether the user takes no messages from Vitally"),
        field("joinDate", FieldType::Timestamp, "When the user was first active in your product"),
        traits(),
    ],
    one_of: &[OneOf { fields: &["accountIds", "organizationIds"], modes: &[Upsert, Insert], message: LINKS_MESSAGE }],
    nulls: (Nulls::Send, Nulls::Omit),
};

const EVENT: ObjectSpec = ObjectSpec {
    name: "event",
    api: Api::Analytics,
    default_api: true,
    modes: &[Insert],
    match_fields: &[],
    fields: &[
        FieldSpec { required: &[Insert], ..text("event", "The event's name") },
        field("timestamp", FieldType::Timestamp, "When it happened; the time of sending when not mapped"),
        field("userId", FieldType::Id, "Your id of the user"),
        field("accountId", FieldType::Id, "Your id of the account; without it the event goes to the user's last one"),
        field("organizationId", FieldType::Id, "Your id of the organization"),
        field("properties", FieldType::Object, "What else there is to know of it"),
    ],
    one_of: &[OneOf {
        fields: &["accountId", "organizationId", "userId"],
        modes: &[Insert],
        message: EVENT_IDS_MESSAGE,
    }],
    nulls: (Nulls::Omit, Nulls::Omit),
};

const ACCOUNT_BY_ANALYTICS: ObjectSpec = ObjectSpec {
    name: "account",
    api: Api::Analytics,
    default_api: false,
    modes: &[Upsert],
    match_fields: &["externalId"],
    fields: &[
        text("name", "The account's name"),
        text("avatar", "URL of a picture"),
        field("organizationId", FieldType::Id, "Your id of the organization"),
        traits(),
    ],
    one_of: &[],
    nulls: (Nulls::Omit, Nulls::Omit),
};

const ORGANIZATION_BY_ANALYTICS: ObjectSpec = ObjectSpec {
    name: "organization",
    api: Api::Analytics,
    default_api: false,
    modes: &[Upsert],
    match_fields: &["externalId"],
    fields: &[text("name", "The organization's name"), text("avatar", "URL of a picture"), traits()],
    one_of: &[],
    nulls: (Nulls::Omit, Nulls::Omit),
};

const USER_BY_ANALYTICS: ObjectSpec = ObjectSpec {
    name: "user",
    api: Api::Analytics,
    default_api: false,
    modes: &[Upsert],
    match_fields: &["externalId"],
    fields: &[
        field("accountId", FieldType::Ids, "Your ids of the user's accounts; one that is not there is created"),
        field("organizationId", FieldType::Ids, "Your ids of the user's organizations"),
        text("name", "The user's name"),
        text("email", "The user's email"),
        text("avatar", "URL of a picture"),
        field("joinDate", FieldType::Timestamp, "When the user was first active in your product"),
        traits(),
    ],
    one_of: &[OneOf { fields: &["accountId", "organizationId"], modes: &[Upsert], message: OWN_LINKS_MESSAGE }],
    nulls: (Nulls::Omit, Nulls::Omit),
};

const fn field(name: &'static str, kind: FieldType, help: &'static str) -> FieldSpec {
    FieldSpec { name, kind, required: &[], holds_ids_of: "", help }
}

const fn text(name: &'static str, help: &'static str) -> FieldSpec {
    field(name, FieldType::Text, help)
}

const fn traits() -> FieldSpec {
    field("traits", FieldType::Object, "Traits by their key; those left out stay as they are, null clears one")
}

/// Returns the declaration of `object` by `api`.
pub(super) fn object_spec(object: &str, api: Api) -> Option<&'static ObjectSpec> {
    SPEC.objects.iter().find(|spec| spec.name == object && spec.api == api)
}

/// The modes that may create a user, and so need its links.
pub(super) fn creates(mode: ebb_row::SyncMode) -> bool {
    match mode {
        Upsert | Insert => true,
        Update => false,
    }
}
