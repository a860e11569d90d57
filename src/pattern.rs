//! The one glob matcher, over canonical names `server/tool`.
//!
//! `*` matches any run of characters but `/`, unless the whole pattern is `*`; `**` matches any run, `/`
//! included; `?` matches one character but `/`; `{a,b}` and `[a-z]` as in globset. A pattern that comes
//! from an approval is literal: made from a [`ToolId`], never parsed from text.

use serde::{Deserialize, Serialize};

use crate::names::ToolId;

/// A checked pattern over canonical names.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Pattern(String);

impl From<&ToolId> for Pattern {
    fn from(tool: &ToolId) -> Self {
        todo!()
    }
}
