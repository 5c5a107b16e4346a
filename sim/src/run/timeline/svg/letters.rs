//! How wide texts are, and what is done where there is less room: they are broken at spaces, or cut.

/// How wide a letter is at most, in tenths of a pixel: monospaced fonts of 11 pixels have 6.6.
const LETTER: u32 = 67;

/// How wide a text is at most.
pub(super) fn across(text: &str) -> u32 {
    (text.chars().count() as u32 * LETTER).div_ceil(10)
}

/// A text that is no wider than that; it ends in `…` if something is missing.
pub(super) fn cut(text: &str, room: u32) -> String {
    if across(text) <= room {
        return text.to_owned();
    }
    let letters = (room * 10 / LETTER).saturating_sub(1) as usize;
    text.chars().take(letters).chain(['…']).collect()
}

/// A text in lines that are no wider than that, where words allow it; all but the first begin with this.
pub(super) fn wrap(text: &str, room: u32, indent: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().expect("there is always one");
        if line.trim().is_empty() {
            line.push_str(word);
        } else if across(line) + across(word) + LETTER.div_ceil(10) <= room {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(format!("{indent}{word}"));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_cut_says_so_and_has_room() {
        assert_eq!(cut("abcdef", 41), "abcdef");
        let text = cut("abcdefg", 41);
        assert_eq!(text, "abcde…");
        assert!(across(&text) <= 41);
    }

    #[test]
    fn lines_are_broken_at_spaces_and_nothing_is_lost() {
        let lines = wrap("one two three four-and-more", 60, "  ");
        assert_eq!(lines, ["one two", "  three", "  four-and-more"]);
        assert_eq!(wrap("", 60, "  "), [""]);
    }
}
