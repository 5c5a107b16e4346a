//! Numbers with units: times, durations, rates and ratios. Exact both ways.

use std::fmt;
use std::time::Duration;

use super::Malformed;
use super::lex::Piece;

/// How many nanoseconds each unit has.
const UNITS: [(&str, u128); 7] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("ms", 1_000_000),
    ("s", SECOND),
    ("m", 60 * SECOND),
    ("h", 3_600 * SECOND),
];
const SECOND: u128 = 1_000_000_000;

/// How many bits per second each unit has.
const RATES: [(&str, u128); 4] = [("bit", 1), ("kbit", 1_000), ("Mbit", 1_000_000), ("Gbit", 1_000_000_000)];

/// How many in a million each unit has.
const RATIOS: [(&str, u128); 2] = [("%", 10_000), ("ppm", 1)];

impl Piece<'_> {
    /// A time after the start: seconds, or a duration.
    pub(super) fn time(self) -> Result<Duration, Malformed> {
        let nanos = scale(self.text, SECOND).or_else(|| with_unit(self.text, &UNITS));
        nanos.and_then(from_nanos).filter(|_| !self.quoted).ok_or_else(|| {
            self.is_not(
                "a time: seconds with at most nine decimals (`0.5`), or a number with a unit (`500ms`)",
            )
        })
    }

    /// A duration: it has a unit.
    pub(super) fn duration(self) -> Result<Duration, Malformed> {
        with_unit(self.text, &UNITS).and_then(from_nanos).filter(|_| !self.quoted).ok_or_else(|| {
            let hint = if scale(self.text, 1).is_some() { "; its unit is missing" } else { "" };
            self.is_not(&format!("a duration, as in `10ms`, `1.5s`, `2m`, in whole nanoseconds{hint}"))
        })
    }

    /// A duration with a sign, in nanoseconds.
    pub(super) fn signed(self) -> Result<i64, Malformed> {
        let wrong = || self.is_not("a duration with a sign, as in `+500ms` or `-2s`, of at most 292 years");
        let mut rest = self;
        let sign = if self.text.starts_with('-') { -1 } else { 1 };
        rest.text = self.text.strip_prefix(['+', '-']).ok_or_else(wrong)?;
        let nanos = with_unit(rest.text, &UNITS).and_then(|nanos| i128::try_from(nanos).ok());
        nanos.and_then(|nanos| i64::try_from(sign * nanos).ok()).filter(|_| !self.quoted).ok_or_else(wrong)
    }

    /// Bits per second.
    pub(super) fn rate(self) -> Result<u64, Malformed> {
        let bits = with_unit(self.text, &RATES).and_then(|bits| u64::try_from(bits).ok());
        bits.ok_or_else(|| self.is_not("a rate, as in `64kbit`, `1.5Mbit`, in whole bits per second"))
    }

    /// So many in a million.
    pub(super) fn ratio(self) -> Result<u32, Malformed> {
        let ppm = with_unit(self.text, &RATIOS).and_then(|ppm| u32::try_from(ppm).ok());
        ppm.ok_or_else(|| self.is_not("a ratio, as in `1%`, `0.05%` or `10ppm`, in whole millionths"))
    }
}

/// The number in its least unit. The units of one list do not end in each other but for letters before them, so the
/// number decides where the unit begins.
fn with_unit(text: &str, units: &[(&str, u128)]) -> Option<u128> {
    let begins = text.find(|c: char| c != '.' && !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(begins);
    let (_, per) = units.iter().find(|(name, _)| *name == unit)?;
    scale(number, *per)
}

/// A decimal number times `per`, if that is whole.
fn scale(number: &str, per: u128) -> Option<u128> {
    let (whole, decimals) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(decimals) {
        return None;
    }
    let decimals = decimals.trim_end_matches('0');
    let mut scaled = whole.parse::<u128>().ok()?.checked_mul(per)?;
    if !decimals.is_empty() {
        let divisor = 10_u128.checked_pow(u32::try_from(decimals.len()).ok()?)?;
        let part = decimals.parse::<u128>().ok()?.checked_mul(per)?;
        scaled = scaled.checked_add(part / divisor).filter(|_| part % divisor == 0)?;
    }
    Some(scaled)
}

fn from_nanos(nanos: u128) -> Option<Duration> {
    let seconds = u64::try_from(nanos / SECOND).ok()?;
    Some(Duration::new(seconds, (nanos % SECOND) as u32))
}

/// A time in seconds. The precision asked for is the least number of decimals.
pub(in crate::scenario) struct Seconds(pub(in crate::scenario) Duration);

/// A duration as people write it.
pub(super) struct Span(pub(super) Duration);

/// A duration with a sign, of so many nanoseconds.
pub(super) struct Signed(pub(super) i64);

/// Bits per second.
pub(super) struct Rate(pub(super) u64);

/// So many in a million.
pub(super) struct Ratio(pub(super) u32);

/// `value / per` with all decimals that it needs, and at least `least`. `per` is a power of ten, or divides `value`.
fn decimal(f: &mut fmt::Formatter<'_>, value: u128, per: u128, least: usize) -> fmt::Result {
    write!(f, "{}", value / per)?;
    let digits = per.ilog10() as usize;
    let part = format!("{:0digits$}", value % per);
    let needed = if digits == 0 { 0 } else { part.trim_end_matches('0').len().max(least.min(digits)) };
    if needed == 0 { Ok(()) } else { write!(f, ".{}", &part[..needed]) }
}

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        decimal(f, self.0.as_nanos(), SECOND, f.precision().unwrap_or(0))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.as_nanos();
        let (unit, per) = match nanos {
            0 => ("s", SECOND),
            1..1_000 => ("ns", 1),
            1_000..1_000_000 => ("us", 1_000),
            1_000_000..SECOND => ("ms", 1_000_000),
            _ if nanos % (3_600 * SECOND) == 0 => ("h", 3_600 * SECOND),
            _ if nanos % (60 * SECOND) == 0 => ("m", 60 * SECOND),
            _ => ("s", SECOND),
        };
        decimal(f, nanos, per, 0)?;
        f.write_str(unit)
    }
}

impl fmt::Display for Signed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { '-' } else { '+' };
        write!(f, "{sign}{}", Span(Duration::from_nanos(self.0.unsigned_abs())))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = u128::from(self.0);
        let (unit, per) =
            RATES.iter().rev().find(|(_, per)| bits > 0 && bits % per == 0).unwrap_or(&RATES[0]);
        write!(f, "{}{unit}", bits / per)
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 % 100 != 0 {
            return write!(f, "{}ppm", self.0);
        }
        decimal(f, u128::from(self.0), 10_000, 0)?;
        f.write_str("%")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(text: &str) -> Piece<'_> {
        Piece { text, quoted: false, line: 1, column: 1 }
    }

    #[test]
    fn durations_are_written_as_people_write_them() {
        for text in ["0s", "7ns", "1.5us", "10ms", "1.5s", "90s", "2m", "1h", "59.999999999s"] {
            assert_eq!(Span(piece(text).duration().unwrap()).to_string(), text);
        }
        assert_eq!(piece("0.25m").duration(), Ok(Duration::from_secs(15)));
        assert_eq!(Span(Duration::MAX).to_string(), "18446744073709551615.999999999s");
        assert_eq!(piece("18446744073709551615.999999999s").duration(), Ok(Duration::MAX));
    }

    #[test]
    fn what_is_not_whole_nanoseconds_is_refused() {
        for text in
            ["0.1ns", "1.0000000001s", "", "1", "1.s", ".5s", "1e3s", "-1s", "18446744073709551616s", "9day"]
        {
            assert!(piece(text).duration().is_err(), "{text}");
        }
        assert!(piece("10").duration().unwrap_err().message.contains("unit is missing"));
    }

    #[test]
    fn times_have_as_many_decimals_as_they_need() {
        let time = |text| Seconds(piece(text).time().unwrap()).to_string();
        assert_eq!(
            [time("0.000"), time("60"), time("0.021"), time("200ms"), time("2m")],
            ["0", "60", "0.021", "0.2", "120"]
        );
        assert_eq!(format!("{:.3}", Seconds(Duration::from_millis(20))), "0.020");
        assert_eq!(format!("{:.3}", Seconds(Duration::from_nanos(1))), "0.000000001");
    }

    #[test]
    fn rates_and_ratios_keep_their_value() {
        for text in ["1Mbit", "64kbit", "1500kbit", "1Gbit", "7bit"] {
            assert_eq!(Rate(piece(text).rate().unwrap()).to_string(), text);
        }
        assert_eq!(piece("1.5Mbit").rate(), Ok(1_500_000));
        for text in ["0%", "1%", "0.1%", "0.01%", "10ppm", "100%", "33.33%"] {
            assert_eq!(Ratio(piece(text).ratio().unwrap()).to_string(), text);
        }
        assert!(piece("0.00001%").ratio().is_err());
    }

    #[test]
    fn a_skew_has_a_sign() {
        for text in ["+500ms", "-2s", "+0s"] {
            assert_eq!(Signed(piece(text).signed().unwrap()).to_string(), text);
        }
        assert_eq!(piece(&Signed(i64::MIN).to_string()).signed(), Ok(i64::MIN));
        assert!(piece("500ms").signed().is_err());
    }
}
