//! The README draws what happens.

use std::fs;
use std::path::Path;

use resound_sim::{Echo, Record, Scenario, World};

/// The README in its three parts: up to the block below this comment, the block, the rest.
fn split<'a>(readme: &'a str, what: &str) -> (&'a str, &'a str, &'a str) {
    let start = format!("<!-- {what} -->\n```text\n");
    let at = readme.find(&start).expect(what) + start.len();
    let end = at + readme[at..].find("```\n").expect(what);
    (&readme[..at], &readme[at..end], &readme[end..])
}

#[test]
fn the_timeline_of_the_readme_is_that_of_its_scenario() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = fs::read_to_string(&path).unwrap();
    let text = split(&readme, "scenario").1;
    let scenario: Scenario = text.parse().unwrap();
    let program: String =
        text.lines().map(|line| format!("        {line}").trim_end().to_owned() + "\n").collect();
    assert!(readme.contains(&program), "the program plays another scenario");
    let run = World::new(&scenario, &mut Echo).play(Record::Everything);
    let drawn = run.timeline(&scenario).states(false).to_string();
    let (before, _, behind) = split(&readme, "timeline");
    expect_test::expect_file![path].assert_eq(&format!("{before}{drawn}{behind}"));
}
