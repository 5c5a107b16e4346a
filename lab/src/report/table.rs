//! What the kernel makes of the table of what kernels do: for each state of a socket what reaches it, what the table says
//! of that, and whether this kernel does so.

use std::fmt;

use resound_core::signal::Version;
use resound_sim::kernel::Profile;
use resound_sim::kernel::table::{ROWS, Row, State};

use super::html::{Escaped, Heading};
use crate::agreement::VERSIONS;
use crate::table::{Finding, RowReport, TableReport};
use crate::verdict::version_name;

/// A row over each IP version.
struct Line<'a> {
    name: &'static str,
    row: Option<&'static Row>,
    over: [Option<&'a RowReport>; VERSIONS.len()],
}

pub(super) fn write(f: &mut fmt::Formatter<'_>, report: &TableReport) -> fmt::Result {
    let [agreed, differ, not_exercised] = report.counts();
    writeln!(f, "<section>\n{}", Heading::TABLE)?;
    writeln!(
        f,
        "<p>The simulator obeys a table: which signal, to a socket in which state, gives which call what. Each row was made to \
         happen with single calls on Linux {}, over each IP version: {agreed} rows agreed, {differ} differ, {not_exercised} were not \
         exercised. Where a row agrees (✓), this kernel gave each call what the table says.</p>",
        Escaped(&report.kernel)
    )?;
    let exceptions = || report.rows.iter().filter(|row| row.what != Finding::Agreed);
    if exceptions().next().is_some() {
        f.write_str("<ul class=\"differences\">\n")?;
        exceptions().try_for_each(|row| writeln!(f, "<li>{}</li>", Escaped(&row.to_string())))?;
        f.write_str("</ul>\n")?;
    }
    groups(lines(report)).iter().try_for_each(|(title, lines)| group(f, title, lines))?;
    f.write_str("</section>\n")
}

/// The rows, each once for both IP versions.
fn lines(report: &TableReport) -> Vec<Line<'_>> {
    let linux = || ROWS.iter().flat_map(|rows| rows.iter()).filter(|row| row.profile == Profile::Linux);
    let mut lines: Vec<Line<'_>> = Vec::new();
    for of in &report.rows {
        let at = lines.iter().position(|line| line.name == of.row).unwrap_or_else(|| {
            lines.push(Line { name: of.row, row: linux().find(|row| row.name == of.row), over: [None; 2] });
            lines.len() - 1
        });
        lines[at].over[usize::from(of.version == Version::V6)] = Some(of);
    }
    lines
}

/// By what protocol and in which state, in the table's order.
fn groups(lines: Vec<Line<'_>>) -> Vec<(String, Vec<Line<'_>>)> {
    let mut groups: Vec<(Option<State>, Vec<Line<'_>>)> = Vec::new();
    for line in lines {
        let state = line.row.map(|row| row.state);
        match groups.iter_mut().find(|(of, _)| *of == state) {
            Some((_, lines)) => lines.push(line),
            None => groups.push((state, vec![line])),
        }
    }
    let title =
        |state: Option<State>| state.map_or_else(|| "other rows".to_owned(), |state| state.to_string());
    groups.into_iter().map(|(state, lines)| (title(state), lines)).collect()
}

fn group(f: &mut fmt::Formatter<'_>, title: &str, lines: &[Line<'_>]) -> fmt::Result {
    let all = || lines.iter().flat_map(|line| line.over).flatten();
    let count = |sign: char| all().filter(|row| self::sign(&row.what).1 == sign).count();
    let counts: Vec<String> = ['✓', '✗', '–']
        .into_iter()
        .map(|sign| (sign, count(sign)))
        .filter(|(_, count)| *count > 0)
        .map(|(sign, count)| format!("{sign} {count}"))
        .collect();
    writeln!(
        f,
        "<details class=\"rows\"><summary>{} <span class=\"agrees\">{}</span></summary>",
        Escaped(title),
        counts.join(" ")
    )?;
    f.write_str(
        "<div class=\"wide\"><table class=\"course\">\n<thead><tr><th scope=\"col\">what reaches it</th>",
    )?;
    f.write_str("<th scope=\"col\">the kernel, by the table</th><th scope=\"col\">calls then give</th>")?;
    for version in VERSIONS {
        write!(f, "<th scope=\"col\">{}</th>", version_name(version))?;
    }
    f.write_str("</tr></thead>\n<tbody>\n")?;
    lines.iter().try_for_each(|line| self::line(f, line))?;
    f.write_str("</tbody>\n</table></div>\n</details>\n")
}

fn line(f: &mut fmt::Formatter<'_>, line: &Line<'_>) -> fmt::Result {
    let (signal, effect, then) = match line.row {
        Some(row) => {
            let then: Vec<String> = row.then.iter().map(ToString::to_string).collect();
            (row.signal_in_words(), row.effect.to_string(), then.join(", "))
        }
        None => (line.name.to_owned(), String::new(), String::new()),
    };
    write!(
        f,
        "<tr><th scope=\"row\" title=\"{}\">{}</th><td>{}</td><td class=\"calls\">{}</td>",
        Escaped(line.name),
        Escaped(&signal),
        Escaped(&effect),
        Escaped(&then)
    )?;
    for over in line.over {
        match over {
            None => f.write_str("<td></td>")?,
            Some(of) => finding(f, of)?,
        }
    }
    f.write_str("</tr>\n")
}

fn finding(f: &mut fmt::Formatter<'_>, of: &RowReport) -> fmt::Result {
    let (class, sign) = sign(&of.what);
    write!(f, "<td class=\"{class}\">{sign}")?;
    if of.what != Finding::Agreed {
        write!(f, " {}", Escaped(of.what.explain()))?;
    }
    f.write_str("</td>")
}

const fn sign(finding: &Finding) -> (&'static str, char) {
    match finding {
        Finding::Agreed => ("agrees", '✓'),
        Finding::Differs(_) => ("differs", '✗'),
        Finding::NotExercised(_) => ("not-played", '–'),
    }
}
