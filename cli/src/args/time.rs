//! Times as people write them.

use core::time::Duration;

/// A time, or never.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limit(pub(crate) Option<Duration>);

pub(super) fn time_or_zero(text: &str) -> Result<Duration, String> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    // A bare number is what ping(8) takes for seconds.
    if let Ok(seconds) = text.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).map_err(|error| match error {
            _ if seconds > 0.0 => String::from("too long"),
            error => error.to_string(),
        });
    }
    humantime::parse_duration(text).map_err(|error| format!("{error}; write 200ms, 1.5 or 2m"))
}

pub(super) fn time(text: &str) -> Result<Duration, String> {
    let time = time_or_zero(text)?;
    if time < Duration::from_millis(1) { Err("must be at least 1ms".into()) } else { Ok(time) }
}

pub(super) fn time_or_never(text: &str) -> Result<Limit, String> {
    if text == "never" { Ok(Limit(None)) } else { Ok(Limit(Some(time(text)?))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_is_called_so() {
        for long in ["1e300", "1e30", "inf"] {
            assert_eq!(time(long), Err("too long".into()), "{long}");
        }
    }

    #[test]
    fn times_are_read_as_people_write_them() {
        for (text, millis) in
            [("200ms", 200), ("2m", 120_000), ("1", 1_000), ("0.2", 200), ("1s 500ms", 1_500)]
        {
            assert_eq!(time(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        assert_eq!(time_or_zero("0"), Ok(Duration::ZERO));
        assert_eq!(time_or_never("never"), Ok(Limit(None)));
        for bad in ["", "-1", "nan", "inf", "1e30", "soon", "0", "10us"] {
            assert!(time(bad).is_err(), "{bad}");
        }
    }
}
