//! Takes out of generated JavaScript what no browser needs: indentation, empty lines, and comments that fill whole lines.
//!
//! It goes line by line and knows no grammar, so it touches nothing inside of a template that goes over several lines.

/// The script without them.
pub(crate) fn dense(script: &str) -> String {
    let mut dense = String::with_capacity(script.len());
    let (mut is_in_template, mut is_in_comment) = (false, false);
    for line in script.lines() {
        let text = if is_in_template { line } else { line.trim_start() };
        if is_in_comment || !is_in_template && text.starts_with("/*") {
            is_in_comment = !text.trim_end().ends_with("*/");
            continue;
        }
        if !is_in_template && (text.is_empty() || text.starts_with("//")) {
            continue;
        }
        is_in_template ^= text.bytes().filter(|byte| *byte == b'`').count() % 2 == 1;
        dense.push_str(text);
        dense.push('\n');
    }
    dense
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_no_browser_needs_goes() {
        let script = "\
/* @ts-self-types */
/**
 * What it does.
 * @param {number} a
 */
export function f(a) {

    // Twice.
    return `a
    // b ${a}

    c` + a * 2; // as said
}
";
        let expected = "export function f(a) {\nreturn `a\n    // b ${a}\n\n    c` + a * 2; // as said\n}\n";
        assert_eq!(dense(script), expected);
        assert_eq!(dense(expected), expected);
    }
}
