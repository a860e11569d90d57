//! Payments, as Stripe's agent toolkit takes them (`create_refund`, `create_price`, `create_payment_link`,
//! `create_invoice_item`, `create_coupon`).

use portero::json;
use serde_json::value::RawValue;

use super::super::text::{EscapedText, StyledText};
use super::value::as_text;
use super::{ArgumentReader, money};

const AMOUNT_KEYS: [&str; 5] =
    ["amount", "unit_amount", "amount_off", "amount_to_capture", "application_fee_amount"];

pub(super) fn matches_call(open: &ArgumentReader<'_>) -> bool {
    open.name_contains(&["stripe"])
        || open.has_any(&AMOUNT_KEYS) && open.has_any(&["currency"])
        || open.has_any(&["payment_intent"]) && open.has_any(&AMOUNT_KEYS)
}

pub(super) fn take_known_fields(open: &mut ArgumentReader<'_>) {
    let currency = open.last_value("currency").and_then(json::as_text).map(std::borrow::Cow::into_owned);
    let amount = |value: &RawValue| amount_text(value, currency.as_deref());
    open.take_field("Amount", &["amount", "amount_to_capture"], amount);
    open.take_field("Unit amount", &["unit_amount"], amount);
    open.take_field("Amount off", &["amount_off"], amount);
    open.take_field("Fee", &["application_fee_amount"], amount);
    open.take_field("Percent off", &["percent_off"], as_text);
    open.take_field("Currency", &["currency"], as_text);
    open.take_field("Payment", &["payment_intent", "charge"], as_text);
    open.take_field("Customer", &["customer"], as_text);
    open.take_field("E-mail", &["email"], as_text);
    open.take_field("Name", &["name"], as_text);
    open.take_field("Product", &["product"], as_text);
    open.take_field("Price", &["price"], as_text);
    open.take_field("Quantity", &["quantity"], as_text);
    open.take_field("Invoice", &["invoice"], as_text);
    open.take_field("Subscription", &["subscription"], as_text);
    open.take_field("Reason", &["reason"], as_text);
    open.take_field("Description", &["description"], as_text);
}

/// An amount in whole units, and the number that is sent.
fn amount_text(value: &RawValue, currency: Option<&str>) -> StyledText {
    let text = json::as_text(value);
    let number = text.as_deref().unwrap_or(value.get());
    match currency.and_then(|currency| money::format_amount(number, currency)) {
        Some(spoken) => {
            StyledText::new().code(&EscapedText::line(&spoken)).literal(", sent as ").append(as_text(value))
        }
        None if number.bytes().all(|byte| byte.is_ascii_digit()) => {
            as_text(value).literal(" in the smallest unit of its currency, which the call does not tell")
        }
        None => as_text(value),
    }
}
