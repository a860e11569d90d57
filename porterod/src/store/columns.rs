//! Conversions between values and columns.

use jiff::Timestamp;
use rusqlite::types::Type;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde::de::value::{Error as ValueError, StrDeserializer};

/// The text of a value that serializes as a string, such as a pattern or an action.
pub(crate) fn to_plain<T: Serialize>(value: &T) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(text)) => Some(text),
        Ok(_) | Err(_) => None,
    }
    .expect("only what serializes as a text is stored so")
}

/// Reads a column that [`to_plain`] wrote.
pub(crate) fn from_plain<T: DeserializeOwned>(column: usize, text: &str) -> rusqlite::Result<T> {
    T::deserialize(StrDeserializer::<ValueError>::new(text)).map_err(|error| unreadable_column(column, error))
}

/// Reads a column with JSON.
pub(crate) fn from_json<T: DeserializeOwned>(column: usize, text: &str) -> rusqlite::Result<T> {
    serde_json::from_str(text).map_err(|error| unreadable_column(column, error))
}

/// Nanoseconds since 1970, as stored; later times than 2262 are stored as 2262.
pub(crate) fn to_nanos(at: Timestamp) -> i64 {
    i64::try_from(at.as_nanosecond()).unwrap_or(if at > Timestamp::UNIX_EPOCH { i64::MAX } else { i64::MIN })
}

/// Reads a column that [`to_nanos`] wrote.
pub(crate) fn from_nanos(column: usize, nanos: i64) -> rusqlite::Result<Timestamp> {
    Timestamp::from_nanosecond(nanos.into()).map_err(|error| unreadable_column(column, error))
}

pub(crate) fn unreadable_column(
    column: usize,
    error: impl std::error::Error + Send + Sync + 'static,
) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error))
}
