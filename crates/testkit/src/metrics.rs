//! A relay's metrics, as Prometheus reads them.

use std::collections::BTreeMap;

/// Each metric's value by its name with labels, as they are written. Those of campaigns are there without the campaign's
/// label, too, and are then the sum over all campaigns.
#[must_use]
pub fn read(text: &str) -> BTreeMap<String, f64> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let pairs = lines.filter_map(|line| line.rsplit_once(' '));
    let mut metrics = BTreeMap::new();
    for (name, value) in pairs.filter_map(|(name, value)| Some((name, value.parse::<f64>().ok()?))) {
        if let Some(name) = of_all_campaigns(name) {
            *metrics.entry(name).or_default() += value;
        }
        metrics.insert(name.to_owned(), value);
    }
    metrics
}

/// The name without the campaign's label, if it has one. No label's value holds a comma.
fn of_all_campaigns(name: &str) -> Option<String> {
    let (name, labels) = name.strip_suffix('}')?.split_once('{')?;
    let is_campaign = |label: &str| label.starts_with("campaign=");
    if !labels.split(',').any(is_campaign) {
        return None;
    }
    let others: Vec<&str> = labels.split(',').filter(|label| !is_campaign(label)).collect();
    Some(if others.is_empty() { name.to_owned() } else { format!("{name}{{{}}}", others.join(",")) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_prometheus_text() {
        let text = "# HELP a b\n# TYPE a counter\na 3\nb{c=\"d e\"} 0.5\nf{campaign=\"g\"} 1\nf{campaign=\"h\"} 2\n\
            i{c=\"d\",campaign=\"g\"} 4\n\n";
        let metrics = read(text);
        let expected = [
            ("a", 3.0),
            ("b{c=\"d e\"}", 0.5),
            ("f", 3.0),
            ("f{campaign=\"g\"}", 1.0),
            ("f{campaign=\"h\"}", 2.0),
            ("i{c=\"d\"}", 4.0),
            ("i{c=\"d\",campaign=\"g\"}", 4.0),
        ];
        assert_eq!(metrics, expected.map(|(name, value)| (name.to_owned(), value)).into());
    }
}
