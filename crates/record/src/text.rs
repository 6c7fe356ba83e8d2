//! Words of others, before people read them.

use alloc::string::String;

/// What stands where a character was left out.
const LEFT_OUT: char = '\u{fffd}';

/// Whether a character shows nothing or turns the direction of reading, so that a text reads as something else than it
/// is. A line's end is none.
#[must_use]
pub fn is_deceptive(character: char) -> bool {
    (character.is_control() && character != '\n')
        || matches!(character,
            // A hyphen that shows only at a line's end, and letters that show nothing.
            '\u{ad}' | '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}'
            // Marks of direction, of joining, of width zero.
            | '\u{61c}' | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            // Ends of lines and paragraphs that are no line feed.
            | '\u{2028}' | '\u{2029}'
            // Tags, which spell whole texts that nobody sees.
            | '\u{e0000}'..='\u{e0fff}')
}

/// Whether a text can be shown as it is.
#[must_use]
pub fn is_plain(text: &str) -> bool {
    !text.chars().any(is_deceptive)
}

/// A text that can be shown: each deceptive character is replaced by one that is seen.
#[must_use]
pub fn plain(text: &str) -> String {
    text.chars().map(|character| if is_deceptive(character) { LEFT_OUT } else { character }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_in_any_script_are_plain_and_hidden_signs_are_not() {
        for text in ["", "Two\nlines", "Größe 3 µm, 100 %", "数字を読む", "أرقام", "साझा", "🙂", "e\u{301}"]
        {
            assert!(is_plain(text), "{text}");
            assert_eq!(plain(text), text);
        }
        for hidden in [
            '\u{7}',
            '\t',
            '\r',
            '\u{1b}',
            '\u{9f}',
            '\u{ad}',
            '\u{61c}',
            '\u{200b}',
            '\u{200e}',
            '\u{202e}',
            '\u{2028}',
            '\u{2066}',
            '\u{206a}',
            '\u{3164}',
            '\u{feff}',
            '\u{fffa}',
            '\u{e0041}',
        ] {
            let text = alloc::format!("a{hidden}b");
            assert!(!is_plain(&text), "{hidden:?}");
            assert_eq!(plain(&text), "a\u{fffd}b");
        }
    }
}
