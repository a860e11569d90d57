//! How long a credential counts.

use std::time::Duration;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

/// How long a credential is valid. What was begun with it ends with it.
#[derive(Debug, Clone, Default)]
pub struct Validity {
    /// Cancelled when it is revoked, or taken out of the configuration.
    pub revoked: Option<CancellationToken>,
    /// When it ends by itself.
    pub expires: Option<Timestamp>,
}

impl Validity {
    /// Whether it has ended.
    #[must_use]
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.is_revoked() || self.expires.is_some_and(|expires| expires <= now)
    }

    /// Whether it ended before its time.
    #[must_use]
    pub fn is_revoked(&self) -> bool {
        self.revoked.as_ref().is_some_and(CancellationToken::is_cancelled)
    }

    /// Whether it ends by itself no sooner than another one.
    #[must_use]
    pub fn outlasts(&self, other: &Self) -> bool {
        match (self.expires, other.expires) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(own), Some(other)) => own >= other,
        }
    }

    /// Returns once the credential has ended; never if it doesn't end.
    pub async fn wait_for_end(self, now: Timestamp) {
        let Self { revoked, expires } = self;
        let revoked = async {
            match &revoked {
                Some(revoked) => revoked.cancelled().await,
                None => std::future::pending().await,
            }
        };
        let expired = async {
            match expires {
                Some(expires) => {
                    let left = Duration::try_from(expires.duration_since(now)).unwrap_or_default();
                    tokio::time::sleep(left).await;
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = revoked => {}
            () = expired => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_is_over_at_its_end_or_once_it_is_revoked() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let until = |second| Validity { revoked: None, expires: Some(at(second)) };
        assert!(!until(10).is_over(at(9)) && until(10).is_over(at(10)));
        let revoked = CancellationToken::new();
        let endless = Validity { revoked: Some(revoked.clone()), expires: None };
        assert!(!endless.is_over(at(i64::from(u32::MAX))));
        assert!(endless.outlasts(&until(10)) && !until(10).outlasts(&endless));
        assert!(until(10).outlasts(&until(10)) && !until(9).outlasts(&until(10)));
        revoked.cancel();
        assert!(endless.is_over(at(0)));
    }
}
