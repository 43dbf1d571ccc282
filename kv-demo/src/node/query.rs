//! The query of a request, as bytes: keys and values need not be text.

use bytes::Bytes;
use percent_encoding::percent_decode;
use thiserror::Error;

/// Why a query makes no sense; one line that names the fix.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum QueryError {
    /// A percent sign without two hexadecimal digits.
    #[error("`%` is followed by no two hexadecimal digits: write a percent sign as %25")]
    BadEscape,
    /// A field is there twice.
    #[error("`{0}` is given more than once: leave one, and write `&` inside a value as %26")]
    Repeated(&'static str),
    /// A field is no number.
    #[error("`{0}` is not a whole number: write it as ?{0}=5")]
    NotANumber(&'static str),
}

/// The field `name` of a query; unknown fields are passed over.
///
/// # Errors
///
/// [`QueryError`].
pub(crate) fn field(query: &str, name: &'static str) -> Result<Option<Bytes>, QueryError> {
    let mut found = fields(query, name)?;
    if found.len() > 1 {
        return Err(QueryError::Repeated(name));
    }
    Ok(found.pop())
}

/// All fields `name` of a query, in their order.
///
/// # Errors
///
/// [`QueryError`].
pub(crate) fn fields(query: &str, name: &'static str) -> Result<Vec<Bytes>, QueryError> {
    let mut found = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        if decode(key)? == name.as_bytes() {
            found.push(Bytes::from(decode(value)?));
        }
    }
    Ok(found)
}

/// The field `name` as a number; 0 if it is not there.
///
/// # Errors
///
/// [`QueryError`].
pub(crate) fn number(query: &str, name: &'static str) -> Result<u64, QueryError> {
    let Some(text) = field(query, name)? else { return Ok(0) };
    let number = core::str::from_utf8(&text).ok().and_then(|text| text.parse().ok());
    number.ok_or(QueryError::NotANumber(name))
}

/// `+` is a space, as in forms, and `%xx` any byte.
fn decode(text: &str) -> Result<Vec<u8>, QueryError> {
    let is_escape = |rest: &str| rest.bytes().take(2).filter(u8::is_ascii_hexdigit).count() == 2;
    if !text.split('%').skip(1).all(is_escape) {
        return Err(QueryError::BadEscape);
    }
    Ok(percent_decode(text.replace('+', " ").as_bytes()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn val(query: &str) -> Result<Option<Bytes>, QueryError> {
        field(query, "val")
    }

    #[test]
    fn every_byte_can_be_said() {
        for (query, value) in [
            ("val=%ff%00", &b"\xff\x00"[..]),
            ("key=k&val=dark+green%20%2B", b"dark green +"),
            ("val=a=b&&other", b"a=b"),
            ("v%61l=%C3%a9", "\u{e9}".as_bytes()),
            ("val=\u{e9}", "\u{e9}".as_bytes()),
            ("val", b""),
        ] {
            assert_eq!(val(query).unwrap().unwrap(), value, "{query}");
        }
        assert_eq!(val("key=val"), Ok(None));
        assert_eq!(val(""), Ok(None));
    }

    #[test]
    fn what_is_ambiguous_is_refused() {
        assert_eq!(val("val=1&val=1"), Err(QueryError::Repeated("val")));
        assert_eq!(val("val=1&other=1&other=2").unwrap().unwrap(), b"1"[..]);
        for query in ["val=100%", "val=%4", "val=%zz", "%=1", "val=%%41"] {
            assert_eq!(val(query), Err(QueryError::BadEscape), "{query}");
        }
    }

    #[test]
    fn numbers_are_whole() {
        assert_eq!(number("after=7", "after"), Ok(7));
        assert_eq!(number("", "after"), Ok(0));
        for query in ["after=", "after=-1", "after=x", "after=%ff", "after=99999999999999999999"] {
            assert_eq!(number(query, "after"), Err(QueryError::NotANumber("after")), "{query}");
        }
    }
}
