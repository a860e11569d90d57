//! Notion, as `notion-mcp-server` takes it (`API-post-page`, `API-patch-page`, `API-patch-block-children`).
//!
//! Notion wraps each text into several objects. Where a block or property is nothing but such a text, the text is
//! shown; what only says that it is one (`"object": "block"`, `"type": "text"`) is not.

use portero::json::{self, Object};
use serde_json::value::RawValue;

use super::super::text::{Shown, Text};
use super::value::{as_json, as_text, elements, text, texts_only};
use super::{Field, Label, Open};

const PARTS: [&str; 7] =
    ["parent", "page_id", "block_id", "database_id", "data_source_id", "properties", "children"];

pub(super) fn fits(open: &Open<'_>) -> bool {
    open.is_named(&["notion"]) && open.has(&PARTS)
        || open.tool.tool.as_str().starts_with("API-") && open.has(&PARTS)
}

pub(super) fn read(open: &mut Open<'_>) {
    open.take("Under", &["parent"], as_text);
    open.take("Page", &["page_id"], as_text);
    open.take("Database", &["database_id", "data_source_id"], as_text);
    open.take("Block", &["block_id"], as_text);
    open.take("Title", &["title"], |value| {
        rich_text(value).map_or_else(|| as_text(value), |found| text(&found))
    });
    open.take_many(&["properties"], properties);
    open.take_many(&["children"], blocks);
    open.take("Text", &["rich_text"], |value| {
        rich_text(value).map_or_else(|| as_text(value), |found| text(&found))
    });
}

fn properties(value: &RawValue) -> Vec<Field> {
    let Some(object) = Object::read(value).ok().filter(|object| !object.is_empty()) else {
        return vec![Field { label: Label::Own("Properties"), value: as_text(value) }];
    };
    let property = |(name, value): (&str, &RawValue)| Field {
        label: Label::Named("Property", Shown::line(name)),
        value: property(value).unwrap_or_else(|| as_text(value)),
    };
    object.iter().map(property).collect()
}

/// A property that is nothing but a title or a rich text.
fn property(value: &RawValue) -> Option<Text> {
    let object = Object::read(value).ok()?;
    let mut members = object.iter();
    let (kind, words) = match (members.next()?, members.next()) {
        (("title", value), None) => (" (the title)", rich_text(value)?),
        (("rich_text", value), None) => ("", rich_text(value)?),
        _ => return None,
    };
    let shown = text(&words);
    Some(if kind.is_empty() { shown } else { shown.words(kind) })
}

fn blocks(value: &RawValue) -> Vec<Field> {
    let Some(blocks) = elements(value).filter(|blocks| !blocks.is_empty()) else {
        return vec![Field { label: Label::Own("Blocks"), value: as_text(value) }];
    };
    let numbered = |(index, block): (usize, &&RawValue)| Field {
        label: Label::Numbered("Block", index + 1),
        value: block_text(block).unwrap_or_else(|| as_json(block)),
    };
    blocks.iter().enumerate().map(numbered).collect()
}

/// A block that is its kind and a rich text, and nothing else.
fn block_text(block: &RawValue) -> Option<Text> {
    let object = Object::read(block).ok()?;
    let (mut kind, mut named) = (None, None);
    for (key, value) in object.iter() {
        match key {
            "object" if value.get() == r#""block""# => {}
            "type" => named = Some(json::text(value)?),
            other if kind.is_none() => kind = Some((other.to_owned(), value)),
            _ => return None,
        }
    }
    let (kind, inner) = kind?;
    if named.is_some_and(|named| named != kind) {
        return None;
    }
    let inner = Object::read(inner).ok()?;
    let mut members = inner.iter();
    match (members.next()?, members.next()) {
        (("rich_text", value), None) => {
            let words = rich_text(value)?;
            Some(Text::new().code(&Shown::line(&kind)).words(": ").then(text(&words)))
        }
        _ => None,
    }
}

/// The words of a rich text without any style, link or mention.
fn rich_text(value: &RawValue) -> Option<String> {
    let parts = elements(value)?;
    parts.iter().map(|part| plain_part(part)).collect()
}

fn plain_part(part: &RawValue) -> Option<String> {
    let object = Object::read(part).ok()?;
    let mut content = None;
    for (key, value) in object.iter() {
        match key {
            "type" if value.get() == r#""text""# => {}
            "text" if content.is_none() => {
                let [(_, words)] = <[_; 1]>::try_from(texts_only(value, &["content"])?).ok()?;
                content = Some(words);
            }
            _ => return None,
        }
    }
    content
}
