//! What the kernel makes of the table of what kernels do.

use std::fmt;

use super::html::{Escaped, Heading};
use crate::table::{Finding, RowReport, TableReport};
use crate::verdict::version_name;

pub(super) fn write(f: &mut fmt::Formatter<'_>, report: &TableReport) -> fmt::Result {
    let [agreed, differ, not_exercised] = report.counts();
    writeln!(f, "<section>\n{}", Heading::TABLE)?;
    writeln!(
        f,
        "<p>The simulator obeys a table: which signal, to a socket in which state, gives which call what. Each row was made to \
         happen with single calls on Linux {}, over each IP version: {agreed} rows agreed, {differ} differ, {not_exercised} were not \
         exercised.</p>",
        Escaped(&report.kernel)
    )?;
    let exceptions = || report.rows.iter().filter(|row| row.what != Finding::Agreed);
    if exceptions().next().is_some() {
        f.write_str("<ul class=\"differences\">\n")?;
        exceptions().try_for_each(|row| writeln!(f, "<li>{}</li>", Escaped(&row.to_string())))?;
        f.write_str("</ul>\n")?;
    }
    f.write_str("<details class=\"text\"><summary>every row</summary>\n<div class=\"wide\"><table class=\"course\">\n")?;
    f.write_str("<thead><tr><th scope=\"col\">row</th><th scope=\"col\">IP</th><th scope=\"col\" class=\"time\">ways</th>")?;
    f.write_str("<th scope=\"col\">finding</th></tr></thead>\n<tbody>\n")?;
    report.rows.iter().try_for_each(|row| line(f, row))?;
    f.write_str("</tbody>\n</table></div>\n</details>\n</section>\n")
}

fn line(f: &mut fmt::Formatter<'_>, row: &RowReport) -> fmt::Result {
    let (class, sign) = match row.what {
        Finding::Agreed => ("agrees", '✓'),
        Finding::Differs(_) => ("differs", '✗'),
        Finding::NotExercised(_) => ("not-played", '–'),
    };
    writeln!(
        f,
        "<tr><td>{}</td><td>{}</td><td class=\"time\">{}</td><td class=\"{class}\">{sign} {}</td></tr>",
        Escaped(row.row),
        version_name(row.version),
        row.cases,
        row.what.as_str().replace('-', " ")
    )
}
