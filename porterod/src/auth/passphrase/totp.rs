//! Codes that change with time: TOTP (RFC 6238), with the parameters that every app supports. These are
//! SHA-1, six digits and steps of thirty seconds.

use constant_time_eq::constant_time_eq;
use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::Timestamp;
use sha1::Sha1;

/// The length of a secret in bytes, which is that of the hash (RFC 4226, section 4, requirement 6).
pub(super) const SECRET_LENGTH: usize = 20;
/// The length of a step in seconds.
const STEP_SECONDS: u64 = 30;
/// The steps by which the two clocks may differ, either way.
const MAX_SKEW_STEPS: u64 = 1;
/// The digits of a code.
pub(super) const CODE_DIGITS: usize = 6;

/// The step whose code this is, among the present one and its neighbours.
pub(super) fn matching_step(typed: &str, secret: &[u8; SECRET_LENGTH], now: Timestamp) -> Option<u64> {
    let present = u64::try_from(now.as_second()).unwrap_or(0) / STEP_SECONDS;
    let steps = present.saturating_sub(MAX_SKEW_STEPS)..=present + MAX_SKEW_STEPS;
    // All steps are compared, so the time does not tell which one matched.
    steps.fold(None, |found, step| {
        let same = constant_time_eq(code_at_step(secret, step).as_bytes(), typed.as_bytes());
        if same { Some(step) } else { found }
    })
}

/// The code of a step.
pub(super) fn code_at_step(secret: &[u8; SECRET_LENGTH], step: u64) -> String {
    format!("{:0CODE_DIGITS$}", truncated_hash(secret, step) % 1_000_000)
}

/// The 31 bits that a code is made from (RFC 4226, section 5.3).
fn truncated_hash(secret: &[u8; SECRET_LENGTH], step: u64) -> u32 {
    let mut mac = Hmac::<Sha1>::new_from_slice(secret).expect("HMAC takes a key of any length");
    mac.update(&step.to_be_bytes());
    let hash = mac.finalize().into_bytes();
    let offset = usize::from(hash[hash.len() - 1] & 0x0f);
    let mut four = [0; 4];
    four.copy_from_slice(&hash[offset..offset + 4]);
    u32::from_be_bytes(four) & 0x7fff_ffff
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The secret of both RFCs' tests.
    const GIVEN: &[u8; SECRET_LENGTH] = b"12345678901234567890";

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    /// RFC 6238, appendix B, the rows of SHA-1; eight digits there.
    #[test]
    fn the_codes_are_those_of_rfc_6238() {
        for (second, told) in [
            (59, 94_287_082),
            (1_111_111_109, 7_081_804),
            (1_111_111_111, 14_050_471),
            (1_234_567_890, 89_005_924),
            (2_000_000_000, 69_279_037),
            (20_000_000_000, 65_353_130),
        ] {
            assert_eq!(truncated_hash(GIVEN, second / STEP_SECONDS) % 100_000_000, told, "at {second}");
            let six = format!("{:06}", told % 1_000_000);
            assert_eq!(matching_step(&six, GIVEN, at(second.cast_signed())), Some(second / STEP_SECONDS));
        }
    }

    /// RFC 4226, appendix D.
    #[test]
    fn the_codes_of_each_step_are_those_of_rfc_4226() {
        let told = [
            "755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583", "399871",
            "520489",
        ];
        let codes: Vec<String> = (0..10).map(|step| code_at_step(GIVEN, step)).collect();
        assert_eq!(codes, told);
    }

    #[test]
    fn a_code_holds_one_step_before_and_one_after_its_own() {
        let (step, second) = (1000, 1000 * 30);
        let typed = code_at_step(GIVEN, step);
        for (now, holds) in [(-31, false), (-30, true), (0, true), (29, true), (59, true), (60, false)] {
            let found = matching_step(&typed, GIVEN, at(second + now));
            assert_eq!(found, holds.then_some(step), "{now} s from its beginning");
        }
    }

    #[test]
    fn what_is_no_code_belongs_to_no_step() {
        for typed in ["", "0", "75522", "7552240", "７55224", "      "] {
            assert_eq!(matching_step(typed, GIVEN, at(0)), None, "{typed:?}");
        }
    }
}
