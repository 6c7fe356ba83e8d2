//! Kernels' texts: as they lie in the module, without comments, indentation and spaces that no compiler needs; and
//! templates, which take less code than `format!` with everything that it can do.

use std::fmt::Write as _;

/// Appends a template: `$a` stands for the first of the numbers, `$b` for the second and so on, `$A` for the first of the
/// texts.
pub(super) fn fill(text: &mut String, template: &str, numbers: &[u32], texts: &[&str]) {
    let mut parts = template.split('$');
    text.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let name = part.bytes().next().unwrap_or_default();
        if let Some(number) = numbers.get(usize::from(name.wrapping_sub(b'a'))) {
            let _ = write!(text, "{number}");
        } else if let Some(part) = texts.get(usize::from(name.wrapping_sub(b'A'))) {
            text.push_str(part);
        }
        text.push_str(part.get(1..).unwrap_or_default());
    }
}

/// A template alone.
pub(super) fn filled(template: &str, numbers: &[u32], texts: &[&str]) -> String {
    let mut text = String::new();
    fill(&mut text, template, numbers, texts);
    text
}

/// The text less what stands between every two `$`.
pub(super) fn without(text: &str) -> String {
    text.split('$').step_by(2).collect()
}

/// The text of a file under `wgsl`. Marks that are cut at later are comments without a space behind their slashes: `//$`.
macro_rules! wgsl {
    ($file:literal) => {{
        const TEXT: &str = include_str!(concat!("wgsl/", $file, ".wgsl"));
        const DENSE: ([u8; TEXT.len()], usize) = crate::gpu::text::dense(TEXT);
        const BYTES: [u8; DENSE.1] = crate::gpu::text::first(&DENSE.0);
        const SHORT: &str = crate::gpu::text::text(&BYTES);
        SHORT
    }};
}
pub(super) use wgsl;

/// The text without what is superfluous, and how many bytes it has then.
#[expect(clippy::indexing_slicing, reason = "the result is no longer than the text")]
pub(super) const fn dense<const N: usize>(text: &str) -> ([u8; N], usize) {
    let text = text.as_bytes();
    let (mut kept, mut count, mut at) = ([0; N], 0, 0);
    while at < text.len() {
        let is_comment = starts_with(text, at, b"// ");
        while is_comment && at < text.len() && text[at] != b'\n' {
            at += 1;
        }
        let next = if at + 1 < text.len() { text[at + 1] } else { b'\n' };
        let before = if count == 0 { b'\n' } else { kept[count - 1] };
        let is_superfluous = match text[at] {
            b' ' => joins(before) || joins(next) || starts_with(text, at + 1, b"// "),
            b'\n' => before == b'\n',
            _ => false,
        };
        if !is_superfluous {
            kept[count] = text[at];
            count += 1;
        }
        at += 1;
    }
    (kept, count)
}

/// Whether no space is needed beside this byte.
const fn joins(byte: u8) -> bool {
    matches!(byte, b' ' | b'\n' | b',' | b';' | b'=' | b'(' | b')' | b'{' | b'}')
}

#[expect(clippy::indexing_slicing, reason = "positions are compared with the length")]
const fn starts_with(text: &[u8], at: usize, start: &[u8]) -> bool {
    let mut same = 0;
    while same < start.len() && at + same < text.len() && text[at + same] == start[same] {
        same += 1;
    }
    same == start.len()
}

/// The first `N` bytes.
pub(super) const fn first<const N: usize>(bytes: &[u8]) -> [u8; N] {
    match bytes.first_chunk() {
        Some(first) => *first,
        None => unreachable!(),
    }
}

/// The bytes as text.
pub(super) const fn text(bytes: &'static [u8]) -> &'static str {
    match core::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(_) => unreachable!(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_take_numbers_and_texts() {
        assert_eq!(filled("$a_$b = $A + $a;$B", &[10, 2], &["x", ""]), "10_2 = x + 10;");
        assert_eq!(without("a//$\nb//$\nc"), "a//\nc");
    }

    #[test]
    fn only_what_is_superfluous_is_left_out() {
        const TEXT: &str = "// What it does.\nfn f(x: f32, y: f32) -> f32 {\n    //MARK\n    let a = x - -y; // so\n\n    \
                            return select(a, -1.0, x <= 2.0);\n}\n";
        let (bytes, count) = dense::<{ TEXT.len() }>(TEXT);
        let expected =
            "fn f(x: f32,y: f32)-> f32{\n//MARK\nlet a=x - -y;\nreturn select(a,-1.0,x <=2.0);\n}\n";
        assert_eq!(String::from_utf8_lossy(&bytes[..count]), expected);
    }
}
