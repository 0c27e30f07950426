//! Digests and encodings of text or of raw bytes.

use std::borrow::Cow;
use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::{GeneralPurpose, STANDARD, URL_SAFE};
use ebb_row::Value;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Digest;

use crate::error::Fault;
use crate::filters::{Arguments, Call, Filter, owned};
use crate::print::text_of;

pub(super) const FILTERS: &[Filter] = &[
    Filter::new("sha256", "Hashes with SHA-256 to lower-case hex; nil stays nil, as for all digests.", sha256).shows(
        "{{ email | sha256 }}",
        r#"{"email":"test@example.org"}"#,
        r#""388c735eec8225c4ad7a507944dd0a975296baea383198aa87177f29af2c6f69""#,
    ),
    Filter::new("md5", "Hashes with MD5 to lower-case hex.", md5).shows(
        "{{ a | md5 }}",
        r#"{"a":"abc"}"#,
        r#""900150983cd24fb0d6963f7d28e17f72""#,
    ),
    Filter::new("sha1", "Hashes with SHA-1 to lower-case hex.", sha1).shows(
        "{{ a | sha1 }}",
        r#"{"a":"abc"}"#,
        r#""a9993e364706816aba3e25717850c26c9cd0d89d""#,
    ),
    Filter::new("sha512", "Hashes with SHA-512 to lower-case hex.", sha512).shows(
        "{{ a | sha512 | slice: 0, 16 }}",
        r#"{"a":"abc"}"#,
        r#""ddaf35a193617aba""#,
    ),
    Filter::new("hmac_sha256", "Signs with HMAC-SHA-256 to lower-case hex.", hmac_sha256).takes("key", 1, 0).shows(
        "{{ a | hmac_sha256: 'key' }}",
        r#"{"a":"The quick brown fox jumps over the lazy dog"}"#,
        r#""f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8""#,
    ),
    Filter::new("hmac_sha1", "Signs with HMAC-SHA-1 to lower-case hex.", hmac_sha1).takes("key", 1, 0).shows(
        "{{ a | hmac_sha1: 'key' }}",
        r#"{"a":"The quick brown fox jumps over the lazy dog"}"#,
        r#""de7c9b85b8b78aa6bc8a7a36f70a90701c9db4d9""#,
    ),
    Filter::new("base64_encode", "Encodes as base64.", base64_encode).shows(
        "{{ a | base64_encode }}",
        r#"{"a":"one two"}"#,
        r#""b25lIHR3bw==""#,
    ),
    Filter::new("base64", "The same as `base64_encode`.", base64_encode).shows(
        "{{ a | base64 }}",
        r#"{"a":"one two"}"#,
        r#""b25lIHR3bw==""#,
    ),
    Filter::new("base64_decode", "Decodes base64 of text.", base64_decode).shows(
        "{{ a | base64_decode }}",
        r#"{"a":"b25lIHR3bw=="}"#,
        r#""one two""#,
    ),
    Filter::new("base64_url_safe_encode", "Encodes as base64 with `-` and `_`.", base64_url_safe_encode).shows(
        "{{ a | base64_url_safe_encode }}",
        r#"{"a":"??>>"}"#,
        r#""Pz8-Pg==""#,
    ),
    Filter::new("base64_url_safe_decode", "Decodes base64 with `-` and `_`.", base64_url_safe_decode).shows(
        "{{ a | base64_url_safe_decode }}",
        r#"{"a":"Pz8-Pg=="}"#,
        r#""??>>""#,
    ),
];

type Output<'v> = Result<Cow<'v, Value>, Fault>;

/// Returns the raw bytes of binary, the UTF-8 of anything else.
fn bytes_of(value: &Value) -> Result<Cow<'_, [u8]>, Fault> {
    if let Value::Bytes(bytes) = value {
        return Ok(Cow::Borrowed(bytes));
    }
    Ok(match text_of(value)? {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    })
}

fn hex<'v>(digest: &[u8]) -> Cow<'v, Value> {
    let mut out = String::with_capacity(digest.len() * 2);
    for byte in digest {
        let written = write!(out, "{byte:02x}");
        debug_assert!(written.is_ok(), "a string takes any text");
    }
    owned(out)
}

fn digest<D: Digest>(input: Cow<'_, Value>) -> Output<'_> {
    if input.is_null() { Ok(input) } else { Ok(hex(&D::digest(bytes_of(&input)?))) }
}

fn sha256<'v>(_: &Call<'_>, input: Cow<'v, Value>, _: &Arguments<'v>) -> Output<'v> {
    digest::<sha2::Sha256>(input)
}

fn md5<'v>(_: &Call<'_>, input: Cow<'v, Value>, _: &Arguments<'v>) -> Output<'v> {
    digest::<md5::Md5>(input)
}

fn sha1<'v>(_: &Call<'_>, input: Cow<'v, Value>, _: &Arguments<'v>) -> Output<'v> {
    digest::<sha1::Sha1>(input)
}

fn sha512<'v>(_: &Call<'_>, input: Cow<'v, Value>, _: &Arguments<'v>) -> Output<'v> {
    digest::<sha2::Sha512>(input)
}

fn signed<'v, M: Mac + KeyInit>(input: Cow<'v, Value>, arguments: &Arguments<'v>) -> Output<'v> {
    if input.is_null() {
        return Ok(input);
    }
    let key = bytes_of(arguments.value(0))?;
    let mut mac = <M as KeyInit>::new_from_slice(&key).map_err(|_| Fault::new("the key is not usable"))?;
    mac.update(&bytes_of(&input)?);
    Ok(hex(&mac.finalize().into_bytes()))
}

fn hmac_sha256<'v>(_: &Call<'_>, input: Cow<'v, Value>, arguments: &Arguments<'v>) -> Output<'v> {
    signed::<Hmac<sha2::Sha256>>(input, arguments)
}

fn hmac_sha1<'v>(_: &Call<'_>, input: Cow<'v, Value>, arguments: &Arguments<'v>) -> Output<'v> {
    signed::<Hmac<sha1::Sha1>>(input, arguments)
}

fn encoded<'v>(call: &Call<'_>, input: Cow<'v, Value>, engine: &GeneralPurpose) -> Output<'v> {
    if input.is_null() {
        return Ok(input);
    }
    let bytes = bytes_of(&input)?;
    call.budget.afford(bytes.len().div_ceil(3).saturating_mul(4))?;
    Ok(owned(engine.encode(bytes)))
}

fn decoded<'v>(text: &str) -> Output<'v> {
    let bytes = STANDARD.decode(text).map_err(|_| Fault::new("the text is not base64"))?;
    String::from_utf8(bytes).map(owned).map_err(|_| Fault::new("the decoded bytes are not UTF-8 text"))
}

fn base64_encode<'v>(call: &Call<'_>, input: Cow<'v, Value>, _: &Arguments<'v>) -> Output<'v> {
    encoded(call, input, &STANDARD)
}

fn base64_url_safe_encode<'v>(call: &Call<'_>, input: Cow<'v, Value>, _: &Arguments<'v>) -> Output<'v> {
    encoded(call, input, &URL_SAFE)
}

fn base64_decode<'v>(_: &Call<'_>, input: Cow<'v, Value>, _: &Arguments<'v>) -> Output<'v> {
    if input.is_null() {
        return Ok(input);
    }
    decoded(&text_of(&input)?)
}

fn base64_url_safe_decode<'v>(_: &Call<'_>, input: Cow<'v, Value>, _: &Arguments<'v>) -> Output<'v> {
    if input.is_null() {
        return Ok(input);
    }
    // The padding may be left out, as it is in most URLs.
    let mut text = text_of(&input)?.replace('-', "+").replace('_', "/");
    if !text.ends_with('=') {
        while text.len() % 4 != 0 {
            text.push('=');
        }
    }
    decoded(&text)
}
