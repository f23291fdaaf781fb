//! Decides whether a request is sent again, when, and when the user hears of it. Pure.
//! Invariant: only what does no harm twice is repeated, and never past [`PATIENCE`].

use std::time::Duration;

use super::ClientError;

/// How long a request is repeated while the server asks for that, or restarts.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often a request is sent that meets rate limits or broken connections.
const TRIES: u32 = 3;
/// First pause before a repeat; doubled each time up to the second.
const PAUSE: Duration = Duration::from_millis(300);
const PAUSE_MAX: Duration = Duration::from_secs(4);
/// Longest pause that a rate limit may ask for without our user being asked.
const RATE_PAUSE_MAX: Duration = Duration::from_secs(5);
/// A wait that gets longer is told.
const SILENT: Duration = Duration::from_secs(3);

/// What may be done twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeat {
    /// Nothing.
    Never,
    /// What the method makes harmless: an answer that says that nothing was done.
    Refused,
    /// Also what lost its answer.
    Lost,
    /// That too, and a key tells the server so: it may answer that the first try is under way.
    Keyed,
}

/// What to do about a request without a good answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Hand out the error.
    GiveUp,
    /// Send it again after this pause; the first time that the wait gets long, say so.
    Again { pause: Duration, tell: bool },
}

/// The tries of one request.
#[derive(Debug)]
pub(super) struct Patience {
    repeat: Repeat,
    tries: u32,
    backoff: Duration,
    broke: bool,
    told: bool,
}

impl Patience {
    /// For a request that is about to be sent for the first time.
    pub(super) fn new(repeat: Repeat) -> Self {
        Self { repeat, tries: 1, backoff: PAUSE, broke: false, told: false }
    }

    /// What to do about `error`, `passed` after the first try.
    pub(super) fn next(&mut self, error: &ClientError, passed: Duration) -> Next {
        let Some(asked) = self.pause(error) else { return Next::GiveUp };
        let pause = asked.max(self.backoff);
        let whole = passed.saturating_add(pause);
        if whole > PATIENCE {
            return Next::GiveUp;
        }
        self.tries += 1;
        self.backoff = self.backoff.saturating_mul(2).min(PAUSE_MAX);
        let tell = whole >= SILENT && !std::mem::replace(&mut self.told, true);
        Next::Again { pause, tell }
    }

    /// The shortest pause that the error asks for; none where a repeat does not help or may harm.
    fn pause(&mut self, error: &ClientError) -> Option<Duration> {
        let may_try = self.tries < TRIES;
        let keeps_answers = matches!(self.repeat, Repeat::Lost | Repeat::Keyed);
        match error {
            ClientError::Broken { .. } if keeps_answers && may_try => {
                self.broke = true;
                Some(Duration::ZERO)
            }
            // Whoever cut the connection off is starting again.
            ClientError::Unreachable { .. } if self.broke => Some(Duration::ZERO),
            ClientError::Refused(refusal) => {
                let asked = refusal.retry_after_s.map(Duration::from_secs);
                match refusal.code.as_str() {
                    "rate_limited" if may_try => asked.filter(|pause| *pause <= RATE_PAUSE_MAX),
                    "conflict" if self.repeat == Repeat::Keyed => asked,
                    "unavailable" if self.repeat != Repeat::Never => asked,
                    _ => None,
                }
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::client::Refusal;

    const SECOND: Duration = Duration::from_secs(1);

    fn refused(status: u16, code: &str, retry_after_s: Option<u64>) -> ClientError {
        ClientError::Refused(Box::new(Refusal {
            status,
            code: code.to_owned(),
            message: String::new(),
            details: Value::Null,
            retry_after_s,
            request_id: None,
        }))
    }

    fn broken() -> ClientError {
        let server = "http://x".parse().unwrap();
        ClientError::Broken { server, reason: String::new() }
    }

    fn away() -> ClientError {
        let server = "http://x".parse().unwrap();
        ClientError::Unreachable { server, reason: String::new() }
    }

    #[test]
    fn only_what_does_no_harm_is_repeated() {
        let all = [Repeat::Never, Repeat::Refused, Repeat::Lost, Repeat::Keyed];
        for (error, repeated) in [
            (refused(409, "conflict", Some(2)), [false, false, false, true]),
            (refused(409, "conflict", None), [false; 4]),
            (refused(503, "unavailable", Some(2)), [false, true, true, true]),
            (refused(503, "unavailable", Some(60)), [false; 4]),
            (refused(503, "unavailable", None), [false; 4]),
            (refused(503, "capacity_exhausted", Some(2)), [false; 4]),
            // Nothing was done, whatever it was.
            (refused(429, "rate_limited", Some(2)), [true; 4]),
            (refused(429, "rate_limited", Some(20)), [false; 4]),
            (broken(), [false, false, true, true]),
            (away(), [false; 4]),
        ] {
            for (repeat, expected) in all.into_iter().zip(repeated) {
                let next = Patience::new(repeat).next(&error, Duration::ZERO);
                assert_eq!(next != Next::GiveUp, expected, "{repeat:?} {error:?}");
            }
        }
    }

    #[test]
    fn a_server_that_restarts_is_waited_for() {
        let mut patience = Patience::new(Repeat::Lost);
        let pauses: Vec<Next> =
            [broken(), away(), away()].iter().map(|it| patience.next(it, SECOND)).collect();
        let again = |millis| Next::Again { pause: Duration::from_millis(millis), tell: false };
        assert_eq!(pauses, [again(300), again(600), again(1200)]);
        assert_eq!(patience.next(&away(), PATIENCE), Next::GiveUp);
    }

    #[test]
    fn a_long_wait_is_told_once_and_ends() {
        let mut patience = Patience::new(Repeat::Keyed);
        let error = refused(409, "conflict", Some(2));
        let mut passed = Duration::ZERO;
        let mut told = Vec::new();
        while let Next::Again { pause, tell } = patience.next(&error, passed) {
            assert!(pause >= 2 * SECOND);
            if tell {
                told.push(passed);
            }
            passed += pause;
        }
        assert_eq!(told, [2 * SECOND]);
        assert!(passed > PATIENCE - 2 * PAUSE_MAX && passed <= PATIENCE, "{passed:?}");
    }
}
