//! Notion, as `notion-mcp-server` takes it (`API-post-page`, `API-patch-page`, `API-patch-block-children`).
//!
//! Notion wraps each text into several objects. If a block or property contains only such a text, the text is
//! shown. Members that merely name the type (`"object": "block"`, `"type": "text"`) are left out.

use portero::json::{self, RawObject};
use serde_json::value::RawValue;

use super::super::text::{EscapedText, StyledText};
use super::value::{array_elements, as_json, as_text, show_text, text_members};
use super::{ArgumentReader, CallField, FieldLabel};

const PAGE_KEYS: [&str; 7] =
    ["parent", "page_id", "block_id", "database_id", "data_source_id", "properties", "children"];

pub(super) fn matches_call(open: &ArgumentReader<'_>) -> bool {
    open.name_contains(&["notion"]) && open.has_any(&PAGE_KEYS)
        || open.tool.tool.as_str().starts_with("API-") && open.has_any(&PAGE_KEYS)
}

pub(super) fn take_known_fields(open: &mut ArgumentReader<'_>) {
    open.take_field("Under", &["parent"], as_text);
    open.take_field("Page", &["page_id"], as_text);
    open.take_field("Database", &["database_id", "data_source_id"], as_text);
    open.take_field("Block", &["block_id"], as_text);
    open.take_field("Title", &["title"], |value| {
        plain_rich_text(value).map_or_else(|| as_text(value), |found| show_text(&found))
    });
    open.take_many_fields(&["properties"], property_fields);
    open.take_many_fields(&["children"], block_fields);
    open.take_field("Text", &["rich_text"], |value| {
        plain_rich_text(value).map_or_else(|| as_text(value), |found| show_text(&found))
    });
}

fn property_fields(value: &RawValue) -> Vec<CallField> {
    let Some(object) = RawObject::read(value).ok().filter(|object| !object.is_empty()) else {
        return vec![CallField { label: FieldLabel::Own("Properties"), value: as_text(value) }];
    };
    let property = |(name, value): (&str, &RawValue)| CallField {
        label: FieldLabel::Named("Property", EscapedText::line(name)),
        value: property_text(value).unwrap_or_else(|| as_text(value)),
    };
    object.iter().map(property).collect()
}

/// A property with only a title or a rich text.
fn property_text(value: &RawValue) -> Option<StyledText> {
    let object = RawObject::read(value).ok()?;
    let mut members = object.iter();
    let (kind, words) = match (members.next()?, members.next()) {
        // A second member could carry more than the text, so then the property is shown as it is.
        (("title", value), None) => (" (the title)", plain_rich_text(value)?),
        (("rich_text", value), None) => ("", plain_rich_text(value)?),
        _ => return None,
    };
    let shown = show_text(&words);
    Some(if kind.is_empty() { shown } else { shown.literal(kind) })
}

fn block_fields(value: &RawValue) -> Vec<CallField> {
    let Some(blocks) = array_elements(value).filter(|blocks| !blocks.is_empty()) else {
        return vec![CallField { label: FieldLabel::Own("Blocks"), value: as_text(value) }];
    };
    let numbered = |(index, block): (usize, &&RawValue)| CallField {
        label: FieldLabel::Numbered("Block", index + 1),
        value: block_text(block).unwrap_or_else(|| as_json(block)),
    };
    blocks.iter().enumerate().map(numbered).collect()
}

/// A block with only its kind and a rich text.
fn block_text(block: &RawValue) -> Option<StyledText> {
    let object = RawObject::read(block).ok()?;
    let (mut kind, mut named) = (None, None);
    for (key, value) in object.iter() {
        match key {
            "object" if value.get() == r#""block""# => {}
            "type" => named = Some(json::as_text(value)?),
            other if kind.is_none() => kind = Some((other.to_owned(), value)),
            // Any other member may have a meaning of its own, so the block is shown as JSON.
            _ => return None,
        }
    }
    let (kind, inner) = kind?;
    // A name that contradicts the content would mislead the reader.
    if named.is_some_and(|named| named != kind) {
        return None;
    }
    let inner = RawObject::read(inner).ok()?;
    let mut members = inner.iter();
    match (members.next()?, members.next()) {
        (("rich_text", value), None) => {
            let words = plain_rich_text(value)?;
            Some(StyledText::new().code(&EscapedText::line(&kind)).literal(": ").append(show_text(&words)))
        }
        _ => None,
    }
}

/// The text of a rich text without styles, links and mentions.
fn plain_rich_text(value: &RawValue) -> Option<String> {
    let parts = array_elements(value)?;
    parts.iter().map(|part| plain_rich_text_part(part)).collect()
}

fn plain_rich_text_part(part: &RawValue) -> Option<String> {
    let object = RawObject::read(part).ok()?;
    let mut content = None;
    for (key, value) in object.iter() {
        match key {
            "type" if value.get() == r#""text""# => {}
            "text" if content.is_none() => {
                let [(_, words)] = <[_; 1]>::try_from(text_members(value, &["content"])?).ok()?;
                content = Some(words);
            }
            _ => return None,
        }
    }
    content
}
