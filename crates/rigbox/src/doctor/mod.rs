//! `rigbox doctor`: what this machine has of what the platform needs. Finds out by trying where it
//! can: a device that opens is not one that works.
//! Invariant: every finding that is not in order says what to do. Leaves nothing on the machine.

mod kernel;
mod machine;
mod tools;

use std::process::ExitCode;

use serde::Serialize;

use crate::{output, up::Up};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Level {
    /// In order.
    Ok,
    /// Works, but worse than it could.
    Warning,
    /// The platform does not work with it.
    Problem,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    /// What was looked at.
    check: &'static str,
    /// How it is.
    level: Level,
    /// What was found.
    found: String,
    /// What to do about it; none where it is in order.
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

impl Finding {
    /// In order.
    pub(crate) fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Self { check, level: Level::Ok, found: found.into(), remedy: None }
    }

    /// Works, but worse than it could.
    pub(crate) fn warning(
        check: &'static str,
        found: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self { check, level: Level::Warning, found: found.into(), remedy: Some(remedy.into()) }
    }

    /// The platform does not work with it.
    pub(crate) fn problem(
        check: &'static str,
        found: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self { check, level: Level::Problem, found: found.into(), remedy: Some(remedy.into()) }
    }
}

/// What `--json` answers.
#[derive(Debug, Serialize)]
struct Report {
    /// Whether the platform can run here.
    ok: bool,
    /// In the order in which they were looked at.
    findings: Vec<Finding>,
}

/// Looks at everything. Exit code 1 where there is a problem.
///
/// # Errors
/// Where the answer cannot be written.
pub(crate) fn run(up: &Up<'_>, json: bool) -> anyhow::Result<ExitCode> {
    let (mut findings, clones) = machine::check(up);
    findings.extend(kernel::check(clones));
    findings.extend(tools::check(up));
    let worst = findings.iter().map(|finding| finding.level).max().unwrap_or(Level::Ok);
    let report = Report { ok: worst < Level::Problem, findings };
    if json {
        output::data(&serde_json::to_string_pretty(&report)?);
    } else {
        show(&report);
    }
    Ok(if report.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn show(report: &Report) {
    let width = report.findings.iter().map(|finding| finding.check.len()).max().unwrap_or(0);
    for finding in &report.findings {
        let mark = match finding.level {
            Level::Ok => "ok",
            Level::Warning => "warning",
            Level::Problem => "PROBLEM",
        };
        output::data(&format!("{mark:<8} {:<width$}  {}", finding.check, finding.found));
        if let Some(remedy) = &finding.remedy {
            output::data(&format!("{:<8} {:<width$}  do: {remedy}", "", ""));
        }
    }
    let count = |level| report.findings.iter().filter(|finding| finding.level == level).count();
    output::data(&match (count(Level::Problem), count(Level::Warning)) {
        (0, 0) => "Everything is in order.".to_owned(),
        (0, 1) => "The platform can run here; one thing could be better.".to_owned(),
        (0, warnings) => format!("The platform can run here; {warnings} things could be better."),
        (1, _) => "One problem keeps the platform from running here.".to_owned(),
        (problems, _) => format!("{problems} problems keep the platform from running here."),
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_that_is_not_in_order_has_a_remedy() {
        let text = serde_json::to_value([
            Finding::ok("a", "fine"),
            Finding::problem("b", "broken", "mend it"),
        ])
        .unwrap();
        assert_eq!(
            text,
            serde_json::json!([
                { "check": "a", "level": "ok", "found": "fine" },
                { "check": "b", "level": "problem", "found": "broken", "remedy": "mend it" },
            ])
        );
    }
}
