//! Payments, as Stripe's agent toolkit takes them (`create_refund`, `create_price`, `create_payment_link`,
//! `create_invoice_item`, `create_coupon`).

use portero::json;
use serde_json::value::RawValue;

use super::super::text::{Shown, Text};
use super::value::as_text;
use super::{Open, money};

const AMOUNTS: [&str; 5] =
    ["amount", "unit_amount", "amount_off", "amount_to_capture", "application_fee_amount"];

pub(super) fn fits(open: &Open<'_>) -> bool {
    open.is_named(&["stripe"])
        || open.has(&AMOUNTS) && open.has(&["currency"])
        || open.has(&["payment_intent"]) && open.has(&AMOUNTS)
}

pub(super) fn read(open: &mut Open<'_>) {
    let currency = open.get("currency").and_then(json::text).map(std::borrow::Cow::into_owned);
    let amount = |value: &RawValue| amount(value, currency.as_deref());
    open.take("Amount", &["amount", "amount_to_capture"], amount);
    open.take("Unit amount", &["unit_amount"], amount);
    open.take("Amount off", &["amount_off"], amount);
    open.take("Fee", &["application_fee_amount"], amount);
    open.take("Percent off", &["percent_off"], as_text);
    open.take("Currency", &["currency"], as_text);
    open.take("Payment", &["payment_intent", "charge"], as_text);
    open.take("Customer", &["customer"], as_text);
    open.take("E-mail", &["email"], as_text);
    open.take("Name", &["name"], as_text);
    open.take("Product", &["product"], as_text);
    open.take("Price", &["price"], as_text);
    open.take("Quantity", &["quantity"], as_text);
    open.take("Invoice", &["invoice"], as_text);
    open.take("Subscription", &["subscription"], as_text);
    open.take("Reason", &["reason"], as_text);
    open.take("Description", &["description"], as_text);
}

/// An amount in whole units, and the number that is sent.
fn amount(value: &RawValue, currency: Option<&str>) -> Text {
    let text = json::text(value);
    let number = text.as_deref().unwrap_or(value.get());
    match currency.and_then(|currency| money::spoken(number, currency)) {
        Some(spoken) => Text::new().code(&Shown::line(&spoken)).words(", sent as ").then(as_text(value)),
        None if number.bytes().all(|byte| byte.is_ascii_digit()) => {
            as_text(value).words(" in the smallest unit of its currency, which the call does not tell")
        }
        None => as_text(value),
    }
}
