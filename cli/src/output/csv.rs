//! Event lines as rows (RFC 4180), made from the same JSON as the other formats, so that they cannot disagree.

use serde_json::Value;

/// The columns. Nested fields are joined with `_`.
const COLUMNS: &[&str] = &[
    "schema",
    "t_ns",
    "event",
    "runtime",
    "target",
    "peer",
    "attempt",
    "local",
    "seq",
    "bytes",
    "rtt_ns",
    "reason",
    "origin",
    "errno",
    "icmp_v",
    "icmp_type",
    "icmp_code",
    "icmp_offender",
    "after_ns",
    "in_flight",
    "silent_ns",
    "unanswered",
    "level",
    "in_ns",
    "late_ns",
    "count",
    "mtu",
    "from",
    "dropped",
    "strangers",
    "wrong_address",
    "stale",
    "unattributed",
    "overrun",
    "why",
    "sent",
    "echoed",
    "lost",
    "late",
    "duplicated",
    "reordered",
    "reconnects",
    "up_ns",
    "down_ns",
    "longest_outage_ns",
    "rtt_ns_min",
    "rtt_ns_mean",
    "rtt_ns_p50",
    "rtt_ns_p90",
    "rtt_ns_p99",
    "rtt_ns_p999",
    "rtt_ns_max",
    "rtt_ns_stddev",
    "last_reason",
    "accepted",
    "refused",
    "ended",
    "received",
    "transport",
    "to",
    "datagrams",
    "udp_received",
    "udp_echoed",
    "udp_bytes",
    "udp_unsent",
    "udp_overrun",
    "end",
    "explain",
    "error",
];

/// The first row.
pub(super) fn header() -> String {
    row(COLUMNS.iter().map(|&column| column.to_owned()))
}

/// The row of one event.
pub(super) fn line(value: &Value) -> String {
    row(COLUMNS.iter().map(|column| find(value, column)))
}

/// A row of these cells.
pub(crate) fn row(cells: impl IntoIterator<Item = String>) -> String {
    let quoted: Vec<String> = cells.into_iter().map(quote).collect();
    quoted.join(",") + "\r\n"
}

fn find(value: &Value, path: &str) -> String {
    let Value::Object(fields) = value else { return String::new() };
    if let Some(found) = fields.get(path) {
        match found {
            Value::Null | Value::Object(_) | Value::Array(_) => {}
            Value::String(text) => return text.clone(),
            other => return other.to_string(),
        }
    }
    // `rtt_ns_p50` is the field `p50` of the object `rtt_ns`.
    for (name, inner) in fields {
        let rest = path.strip_prefix(name.as_str()).and_then(|rest| rest.strip_prefix('_'));
        if let (Some(rest), Value::Object(_)) = (rest, inner) {
            return find(inner, rest);
        }
    }
    String::new()
}

fn quote(cell: String) -> String {
    if cell.contains([',', '"', '\r', '\n']) { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn cell(row: &str, column: &str) -> String {
        let index = COLUMNS.iter().position(|&known| known == column).unwrap();
        row.trim_end().split(',').nth(index).unwrap().to_owned()
    }

    #[test]
    fn every_field_has_its_column() {
        let row = line(
            &json!({"event": "summary", "rtt_ns": {"min": 1, "p999": 9}, "icmp": {"v": 4}, "end": "count"}),
        );
        for (column, want) in [
            ("event", "summary"),
            ("rtt_ns_min", "1"),
            ("rtt_ns_p999", "9"),
            ("rtt_ns", ""),
            ("icmp_v", "4"),
            ("end", "count"),
            ("peer", ""),
        ] {
            assert_eq!(cell(&row, column), want, "{column}");
        }
        assert_eq!(cell(&line(&json!({"rtt_ns": 42})), "rtt_ns"), "42");
    }

    #[test]
    fn rows_are_quoted_where_they_must_be() {
        let cells = ["plain", "a,b", "say \"hi\"", "two\nlines"].map(str::to_owned);
        assert_eq!(row(cells), "plain,\"a,b\",\"say \"\"hi\"\"\",\"two\nlines\"\r\n");
    }
}
