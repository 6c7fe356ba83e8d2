//! Names that options had in the version before this one. Flags and keys of the file have them as aliases; clap has none for
//! variables.

use std::str::FromStr;

use anyhow::{Context, Result};

use super::Options;

impl Options {
    /// These, and where they say nothing what variables of the earlier names say.
    ///
    /// # Errors
    /// Names the variable that is no number.
    pub(super) fn or_earlier_variables(self, variable: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let bytes = |name| read(name, &variable);
        Ok(Self {
            max_unpinned_bytes: self.max_unpinned_bytes.or(bytes("LICHEN_MAX_LOOSE_BYTES")?),
            max_unpinned_bytes_per_address: self
                .max_unpinned_bytes_per_address
                .or(bytes("LICHEN_MAX_LOOSE_BYTES_PER_ADDRESS")?),
            max_unpinned_bytes_per_account: self
                .max_unpinned_bytes_per_account
                .or(bytes("LICHEN_MAX_LOOSE_BYTES_PER_ACCOUNT")?),
            unpinned_blob_minutes: self
                .unpinned_blob_minutes
                .or(read("LICHEN_LOOSE_BLOB_MINUTES", &variable)?),
            ..self
        })
    }
}

fn read<T>(name: &str, variable: impl Fn(&str) -> Option<String>) -> Result<Option<T>>
where
    T: FromStr<Err: std::error::Error + Send + Sync + 'static>,
{
    variable(name).map(|text| text.parse().with_context(|| format!("{name} is no number"))).transpose()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    const FLAGS: [&str; 5] = [
        "lichen-relay",
        "--max-loose-bytes=1",
        "--max-loose-bytes-per-address=2",
        "--max-loose-bytes-per-account=3",
        "--loose-blob-minutes=4",
    ];

    fn told(options: &Options) -> [Option<u64>; 4] {
        [
            options.max_unpinned_bytes,
            options.max_unpinned_bytes_per_address,
            options.max_unpinned_bytes_per_account,
            options.unpinned_blob_minutes.map(u64::from),
        ]
    }

    #[test]
    fn earlier_names_go_on_working_as_flags_in_the_file_and_as_variables() {
        let expected = [Some(1), Some(2), Some(3), Some(4)];
        assert_eq!(told(&Options::parse_from(FLAGS)), expected);
        let file: String =
            FLAGS[1..].iter().map(|flag| flag.trim_start_matches('-').replace('-', "_") + "\n").collect();
        assert_eq!(told(&toml::from_str(&file).unwrap()), expected);
        let variable = |name: &str| {
            let flag = name.strip_prefix("LICHEN_")?.to_lowercase().replace('_', "-");
            FLAGS.iter().find_map(|known| known.strip_prefix(&format!("--{flag}="))).map(str::to_owned)
        };
        assert_eq!(told(&Options::default().or_earlier_variables(variable).unwrap()), expected);
    }

    #[test]
    fn a_flag_comes_before_a_variable_and_a_faulty_variable_is_named() {
        let options = Options::parse_from(["lichen-relay", "--max-unpinned-bytes=9"]);
        let options = options.or_earlier_variables(|_name| Some("1".to_owned())).unwrap();
        assert_eq!(told(&options), [Some(9), Some(1), Some(1), Some(1)]);
        let error = Options::default().or_earlier_variables(|_name| Some("much".to_owned())).unwrap_err();
        assert!(error.to_string().contains("LICHEN_MAX_LOOSE_BYTES"), "{error}");
    }
}
