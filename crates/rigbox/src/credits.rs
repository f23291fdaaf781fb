//! `rigbox credits`: whoever installed the platform gives people AI credits, puts them right, and exports
//! what became of them, over the API and with the operator's own key.
//! Decides nothing: what may be done, and that it is done once, is the API's to say.

use std::process::ExitCode;

use clap::Subcommand;
use rigbox_types::{
    Credits,
    api::credits::{AiCredits, ChangeCreditsRequest, CreditChangeKind, CreditEntry},
};
use serde_json::json;

use crate::{
    api::Api,
    output,
    user::{Common, document, find, on_api, table},
};

/// What to do with credits.
#[derive(Debug, Subcommand)]
pub(crate) enum CreditsVerb {
    /// Show what an account has left, and used this month.
    #[command(after_help = "Examples:
  rigbox credits show ann@example.com
  rigbox credits show ann@example.com --json")]
    Show {
        /// E-mail address or id.
        user: String,
        #[command(flatten)]
        common: Common,
    },
    /// Give an account credits that do not expire.
    #[command(after_help = "Examples:
  rigbox credits add ann@example.com 500
  rigbox credits add ann@example.com 12.5 --reason 'invoice 1042' --idempotency-key invoice-1042")]
    Add {
        /// E-mail address or id.
        user: String,
        /// Credits, as a decimal.
        amount: Credits,
        /// Why, for the statement.
        #[arg(long, value_name = "TEXT", default_value = "given by the operator")]
        reason: String,
        /// Does it once, however often this is repeated with the same key.
        #[arg(long, value_name = "KEY")]
        idempotency_key: Option<String>,
        #[command(flatten)]
        common: Common,
    },
    /// Put an account's credits right: gives some, or takes some that are there.
    #[command(after_help = "Examples:
  rigbox credits adjust ann@example.com -20 --reason 'given twice'
  rigbox credits adjust ann@example.com 3.25 --reason 'a call that failed was charged'")]
    Adjust {
        /// E-mail address or id.
        user: String,
        /// Credits, as a decimal; below zero takes them.
        #[arg(allow_hyphen_values = true)]
        amount: Credits,
        /// Why, for the statement.
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// Does it once, however often this is repeated with the same key.
        #[arg(long, value_name = "KEY")]
        idempotency_key: Option<String>,
        #[command(flatten)]
        common: Common,
    },
    /// List what became of an account's credits, newest first.
    #[command(after_help = "Examples:
  rigbox credits statement ann@example.com
  rigbox credits statement ann@example.com --csv > ann.csv")]
    Statement {
        /// E-mail address or id.
        user: String,
        /// Write comma-separated values, for a spreadsheet.
        #[arg(long, conflicts_with = "json")]
        csv: bool,
        #[command(flatten)]
        common: Common,
    },
}

/// Does what was asked with credits.
///
/// # Errors
/// Says what was refused, and what can be done about it.
pub(crate) fn credits(verb: CreditsVerb) -> anyhow::Result<ExitCode> {
    match verb {
        CreditsVerb::Show { user, common } => on_api(&common, async |api| {
            let credits = api.user_credits(find(api, &user).await?).await?;
            if common.json {
                return document(&credits);
            }
            table(&rows(&credits));
            Ok(())
        }),
        CreditsVerb::Add { user, amount, reason, idempotency_key, common } => {
            let request = ChangeCreditsRequest { kind: CreditChangeKind::TopUp, amount, reason };
            change(&user, &request, (idempotency_key.as_deref(), &common))
        }
        CreditsVerb::Adjust { user, amount, reason, idempotency_key, common } => {
            let kind = CreditChangeKind::Adjustment;
            let request = ChangeCreditsRequest { kind, amount, reason };
            change(&user, &request, (idempotency_key.as_deref(), &common))
        }
        CreditsVerb::Statement { user, csv, common } => on_api(&common, async |api| {
            let form = match (csv, common.json) {
                (true, _) => Form::Csv,
                (false, true) => Form::Json,
                (false, false) => Form::Table,
            };
            statement(api, &user, form).await
        }),
    }
}

fn change(
    user: &str,
    request: &ChangeCreditsRequest,
    (key, common): (Option<&str>, &Common),
) -> anyhow::Result<ExitCode> {
    on_api(common, async |api| {
        let id = find(api, user).await?;
        let answer = api.user_credits_change(id, request, key).await?;
        if common.json {
            return document(&answer);
        }
        table(&rows(&answer.credits));
        Ok(())
    })
}

#[derive(Debug, Clone, Copy)]
enum Form {
    Table,
    Json,
    Csv,
}

async fn statement(api: &Api, user: &str, form: Form) -> anyhow::Result<()> {
    let id = find(api, user).await?;
    let mut page = api.user_statement(id, None).await?;
    let mut entries = std::mem::take(&mut page.entries);
    if let Form::Csv = form {
        output::data("seq,at,kind,credits,balance,reason,actor,key");
    }
    loop {
        if let Form::Csv = form {
            // Written page by page: an account may have millions.
            entries.drain(..).for_each(|entry| output::data(&csv(&entry)));
        }
        let Some(cursor) = page.next_cursor else { break };
        page = api.user_statement(id, Some(&cursor)).await?;
        entries.append(&mut page.entries);
    }
    match form {
        Form::Csv => Ok(()),
        Form::Json => document(&json!({ "entries": entries, "next_cursor": null })),
        Form::Table => {
            let heads = ["WHEN", "KIND", "CREDITS", "BALANCE", "BY", "REASON"].map(str::to_owned);
            let row = |entry: &CreditEntry| {
                [
                    entry.at.to_string(),
                    entry.kind.as_str().to_owned(),
                    micro(entry.amount_micro),
                    micro(entry.balance_micro),
                    entry.actor.clone(),
                    entry.reason.clone(),
                ]
            };
            let rows: Vec<_> = std::iter::once(heads).chain(entries.iter().map(row)).collect();
            table(&rows);
            Ok(())
        }
    }
}

fn rows(credits: &AiCredits) -> Vec<[String; 2]> {
    let left = match credits.unlimited {
        true => "no limit".to_owned(),
        false => format!("{} of {}", micro(credits.remaining_micro), micro(credits.total_micro)),
    };
    let row = |name: &str, value: String| [name.to_owned(), value];
    let mut rows = vec![
        row("left", left),
        row("used this month", micro(credits.used_micro)),
        row("held by calls", micro(credits.held_micro)),
    ];
    if let Some(at) = credits.expires_at.filter(|_| !credits.unlimited) {
        rows.push(row("expiring", format!("{} at {at}", micro(credits.granted_micro))));
    }
    rows
}

fn csv(entry: &CreditEntry) -> String {
    [
        entry.seq.to_string(),
        entry.at.to_string(),
        entry.kind.as_str().to_owned(),
        micro(entry.amount_micro),
        micro(entry.balance_micro),
        quoted(&entry.reason),
        quoted(&entry.actor),
        quoted(&entry.key),
    ]
    .join(",")
}

/// A text as RFC 4180 has it, which no spreadsheet takes for a formula.
fn quoted(text: &str) -> String {
    let guard = if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { "'" } else { "" };
    format!("\"{guard}{}\"", text.replace('"', "\"\""))
}

/// Exact, as a decimal.
fn micro(micro: i64) -> String {
    Credits::from_micro(micro).map_or_else(|_| "-".to_owned(), |credits| credits.to_string())
}

#[cfg(test)]
mod tests {
    use rigbox_types::{Timestamp, api::credits::EntryKind};

    use super::*;

    #[test]
    fn a_line_of_values_cannot_be_taken_for_another() {
        let entry = CreditEntry {
            seq: 7,
            at: Timestamp::from_micros(0),
            kind: EntryKind::Adjustment,
            amount: -1.5,
            amount_micro: -1_500_000,
            balance: 0.000_001,
            balance_micro: 1,
            reason: "=1+1, \"so\"".to_owned(),
            actor: "key:1".to_owned(),
            key: "change:k".to_owned(),
        };
        let expected = "7,1970-01-01T00:00:00Z,adjustment,-1.5,0.000001,\
                        \"'=1+1, \"\"so\"\"\",\"key:1\",\"change:k\"";
        assert_eq!(csv(&entry), expected);
    }
}
