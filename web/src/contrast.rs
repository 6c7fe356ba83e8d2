//! Holds the design tokens to their promise: text is readable on every ground it stands on, in light and in dark.

use std::collections::BTreeMap;

const TOKENS: &str = include_str!("../style/tokens.css");

/// Least contrast of text, by WCAG 2.2, 1.4.3 (level AA).
const TEXT: f64 = 4.5;

/// Least contrast of controls and graphics, by WCAG 2.2, 1.4.11 (level AA).
const GRAPHIC: f64 = 3.0;

/// The opaque colours of the light scheme and of the dark one, by name.
fn schemes() -> [BTreeMap<&'static str, [f64; 3]>; 2] {
    let (light, rest) = TOKENS.split_once("@media (prefers-color-scheme: dark)").unwrap();
    let (dark, _) = rest.split_once("@media").unwrap();
    let light = colours(light);
    let mut both = light.clone();
    both.extend(colours(dark));
    [light, both]
}

fn colours(css: &'static str) -> BTreeMap<&'static str, [f64; 3]> {
    css.lines()
        .filter_map(|line| line.trim().strip_prefix("--lichen-")?.split_once(": #"))
        .filter_map(|(name, value)| Some((name, channels(value.trim_end_matches(';'))?)))
        .collect()
}

fn channels(hex: &str) -> Option<[f64; 3]> {
    let channel = |place: usize| {
        u8::from_str_radix(hex.get(place..place + 2)?, 16).ok().map(|byte| f64::from(byte) / 255.0)
    };
    if hex.len() == 6 { Some([channel(0)?, channel(2)?, channel(4)?]) } else { None }
}

/// Relative luminance as WCAG defines it.
fn luminance(colour: [f64; 3]) -> f64 {
    let linear = colour
        .map(|value| if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) });
    0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
}

fn contrast(one: [f64; 3], other: [f64; 3]) -> f64 {
    let (one, other) = (luminance(one), luminance(other));
    (one.max(other) + 0.05) / (one.min(other) + 0.05)
}

#[test]
fn contrast_is_the_one_that_wcag_defines() {
    assert!((contrast([0.0; 3], [1.0; 3]) - 21.0).abs() < 1e-9);
    let grey = channels("767676").unwrap();
    assert!((contrast(grey, [1.0; 3]) - 4.54).abs() < 0.01);
}

#[test]
fn text_and_graphics_stand_out_from_their_grounds() {
    let pairs = [
        ("ink", "ground", TEXT),
        ("ink", "surface", TEXT),
        ("ink", "sunken", TEXT),
        ("ink", "sage-soft", TEXT),
        ("ink", "sun-soft", TEXT),
        ("ink", "rust-soft", TEXT),
        ("ink-soft", "ground", TEXT),
        ("ink-soft", "surface", TEXT),
        ("ink-soft", "sunken", TEXT),
        ("on-sage", "sage", TEXT),
        ("on-sage", "sage-hover", TEXT),
        ("sage", "surface", TEXT),
        ("sage", "ground", TEXT),
        ("sun-ink", "surface", TEXT),
        ("rust", "surface", TEXT),
        ("line-strong", "surface", GRAPHIC),
        ("sun", "ground", GRAPHIC),
        ("sun", "surface", GRAPHIC),
        ("sage", "sunken", GRAPHIC),
        ("accuracy", "surface", GRAPHIC),
        ("loss", "surface", GRAPHIC),
    ];
    for (scheme, colours) in ["light", "dark"].into_iter().zip(schemes()) {
        for (front, back, least) in pairs {
            let found = contrast(colours[front], colours[back]);
            assert!(found >= least, "{front} on {back} in the {scheme} scheme has {found:.2}, not {least}");
        }
    }
}

#[test]
fn the_dark_scheme_has_its_own_of_every_colour() {
    let [light, dark] = schemes();
    for (name, colour) in &light {
        assert_ne!(dark.get(name), Some(colour), "{name}");
    }
}
