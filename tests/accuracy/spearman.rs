//! Pairs of sentences that people have judged, and how well another judgement follows theirs.

/// Two sentences and how alike people find them, 0 to 5.
pub(crate) type Judged = (String, String, f64);

/// Reads lines of two sentences and a score; sentences with a comma are in quotes.
pub(crate) fn pairs(table: &str) -> Result<Vec<Judged>, String> {
    let pair = |line: &str| {
        let mut fields = vec![String::new()];
        let mut is_quoted = false;
        for c in line.chars() {
            match (c, fields.last_mut()) {
                ('"', _) => is_quoted = !is_quoted,
                (',', _) if !is_quoted => fields.push(String::new()),
                (c, Some(field)) => field.push(c),
                (_, None) => {}
            }
        }
        let [a, b, score] =
            <[String; 3]>::try_from(fields).map_err(|_| format!("not three fields: {line}"))?;
        let score = score.trim().parse().map_err(|_| format!("no score: {line}"))?;
        Ok((a, b, score))
    };
    table.lines().filter(|line| !line.is_empty()).map(pair).collect()
}

/// Returns the correlation of two lists' ranks; equal values share their mean rank.
pub(crate) fn spearman(a: &[f64], b: &[f64]) -> f64 {
    let (a, b) = (ranks(a), ranks(b));
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let (mean_a, mean_b) = (mean(&a), mean(&b));
    let product = |a: &[f64], mean_a: f64, b: &[f64], mean_b: f64| -> f64 {
        a.iter().zip(b).map(|(a, b)| (a - mean_a) * (b - mean_b)).sum()
    };
    let spread = product(&a, mean_a, &a, mean_a) * product(&b, mean_b, &b, mean_b);
    product(&a, mean_a, &b, mean_b) / spread.sqrt()
}

fn ranks(values: &[f64]) -> Vec<f64> {
    let rank = |value: &f64| {
        let below = values.iter().filter(|other| *other < value).count();
        let equal = values.iter().filter(|other| *other == value).count();
        below as f64 + (equal - 1) as f64 / 2.0
    };
    values.iter().map(rank).collect()
}
