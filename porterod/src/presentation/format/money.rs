//! Amounts of money in a currency's smallest unit, as payment services take them.
//!
//! An amount is shown in whole units only if the currency's smallest unit is known for certain. The sent
//! number is always shown as well.

/// The number of decimal digits that Stripe uses for a currency.
///
/// Source: ISO 4217 (list one, "minor unit") with Stripe's exceptions (<https://docs.stripe.com/currencies>,
/// "zero-decimal currencies" and "special cases"). ISK still has hundredths there, and MGA has whole units.
/// UGX is in both of Stripe's lists, so it counts as unknown.
#[must_use]
pub fn minor_digits(currency: &str) -> Option<usize> {
    const NONE: &str = "BIF CLP DJF GNF JPY KMF KRW MGA PYG RWF VND VUV XAF XOF XPF";
    const THREE: &str = "BHD IQD JOD KWD LYD OMR TND";
    const TWO: &str = "AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BRL BSD BTN BWP BYN \
        BZD CAD CDF CHF CNY COP CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD \
        HKD HNL HTG HUF IDR ILS INR IRR ISK JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MKD MMK MNT \
        MOP MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR \
        SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD UYU UZS VED VES \
        WST XCD XCG YER ZAR ZMW ZWG";
    let currency = currency.to_ascii_uppercase();
    let holds = |list: &str| currency.len() == 3 && list.split_whitespace().any(|code| code == currency);
    // An unlisted currency gives `None`, because a wrong factor would be a hundredfold error.
    if holds(NONE) {
        Some(0)
    } else if holds(TWO) {
        Some(2)
    } else {
        holds(THREE).then_some(3)
    }
}

/// An amount in whole units with its currency, such as `20.00 USD`. None if it isn't an integer or the
/// currency is unknown.
#[must_use]
pub fn format_amount(amount: &str, currency: &str) -> Option<String> {
    let digits = minor_digits(currency)?;
    let (sign, number) = match amount.strip_prefix('-') {
        Some(number) => ("-", number),
        None => ("", amount),
    };
    // A fraction or an exponent has no whole number of smallest units.
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // At least one digit stays before the point: `5` with two digits is `0.05`.
    let padded = format!("{number:0>width$}", width = digits + 1);
    let (whole, part) = padded.split_at(padded.len() - digits);
    let point = if digits == 0 { "" } else { "." };
    Some(format!("{sign}{whole}{point}{part} {}", currency.to_ascii_uppercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_have_the_digits_of_their_currency() {
        for (amount, currency, said) in [
            ("2000", "usd", "20.00 USD"),
            ("5", "EUR", "0.05 EUR"),
            ("0", "eur", "0.00 EUR"),
            ("-150", "chf", "-1.50 CHF"),
            ("500", "jpy", "500 JPY"),
            ("5124", "kwd", "5.124 KWD"),
            ("100", "isk", "1.00 ISK"),
            ("123456789012345678901234567890", "usd", "1234567890123456789012345678.90 USD"),
        ] {
            assert_eq!(format_amount(amount, currency).as_deref(), Some(said));
        }
    }

    #[test]
    fn nothing_is_said_where_it_could_be_wrong() {
        for (amount, currency) in [
            ("2000", "ugx"),
            ("2000", "xyz"),
            ("2000", ""),
            ("20.5", "usd"),
            ("2e3", "usd"),
            ("", "usd"),
            ("-", "usd"),
        ] {
            assert_eq!(format_amount(amount, currency), None, "{amount} {currency}");
        }
    }
}
