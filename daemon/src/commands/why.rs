//! `glassd why QUERY`: the whole chain from the question to the answer.

use std::process::ExitCode;

use anyhow::Context as _;
use glassd_core::query::Answered;

use crate::cli::WhichQuery;
use crate::config::Config;
use crate::outbox::History;

/// Reads the history beside the running daemon and explains.
pub(super) fn run(config: &Config, query: WhichQuery, json: bool) -> anyhow::Result<ExitCode> {
    let history = History::open(&config.outbox_path())?;
    let found = match query {
        WhichQuery::Last => history.last(1)?.pop(),
        WhichQuery::Named(query) => history.lookup(query)?,
    };
    let found = found.context(
        "that query is not in the history: it is still open (`glassd status` tells how many are), too old, or \
         was never asked here",
    )?;
    let answered: Answered = serde_json::from_str(&found.json).context("its explanation cannot be read")?;
    if json {
        println!("{}", serde_json::to_string_pretty(&answered)?);
    } else {
        print!("{}", explain(&answered));
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes an explanation for people.
pub(super) fn explain(answered: &Answered) -> String {
    use std::fmt::Write as _;
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(text, "{name:12} {value}");
    };
    line("query", &answered.query.to_string());
    if let Some(glasses) = &answered.glasses {
        line("glasses", glasses.as_str());
    }
    line("question", &answered.question);
    line("understood", &answered.intent);
    line("answer", &answered.answer);
    line("route", &answered.route.map_or("none".to_owned(), |route| format!("{route:?}").to_lowercase()));
    line("ending", &format!("{:?}", answered.ending).to_lowercase());
    if let Some(probability) = answered.probability {
        line(
            "candidate",
            &format!(
                "{} (right with probability {probability:.2}{})",
                answered.candidate.as_ref().unwrap_or(&answered.answer),
                answered
                    .score
                    .filter(|score| (score - probability).abs() > 0.005)
                    .map_or(String::new(), |score| format!(", calibrated from {score:.2}"))
            ),
        );
    }
    if let Some(agreed) = answered.agreed {
        line("", if agreed { "the cloud says the same" } else { "the cloud says otherwise" });
    }
    if let Some(model) = &answered.model {
        line("cloud model", model);
    }
    for evidence in &answered.evidence {
        line("saw", evidence);
    }
    for reason in &answered.reasons {
        line("because", &reason.to_string());
    }
    for step in &answered.steps {
        line("", &format!("{:9.1} ms  {}", step.at_ms, step.what));
    }
    text
}
