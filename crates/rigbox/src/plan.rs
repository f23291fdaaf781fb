//! `rigbox plan`: whoever installed the platform says what the plans allow.
//! Decides nothing: what may be done is the API's to say.

use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use rigbox_types::{
    PlanName, QuotaChanges, Quotas,
    api::users::{CreatePlanRequest, Plan, UpdatePlanRequest},
    nearest::nearest,
};
use serde_json::{Map, Value};

use crate::{
    output,
    user::{Common, document, on_api, table},
};

/// What to do with plans.
#[derive(Debug, Subcommand)]
pub(crate) enum PlanVerb {
    /// List the plans and their numbers.
    Ls {
        #[command(flatten)]
        common: Common,
    },
    /// Add a plan. A number that is not given is no limit but the machines'.
    #[command(after_help = "Example:
  rigbox plan add team max_vms=20 max_ram_per_vm_mb=8192 max_vcpu_per_vm=4 max_disk_per_vm_mb=20480")]
    Add {
        /// Its name.
        plan: PlanName,
        #[command(flatten)]
        numbers: Numbers,
        #[command(flatten)]
        common: Common,
    },
    /// Change a plan's numbers. What is over a lowered one stays, and does not grow.
    #[command(after_help = "Examples:
  rigbox plan set free max_vms=3
  rigbox plan set pro max_network_mbit_per_s_per_vm=none    # no limit but the machines'")]
    Set {
        /// Its name.
        plan: PlanName,
        #[command(flatten)]
        numbers: Numbers,
        #[command(flatten)]
        common: Common,
    },
    /// Delete a plan that no account has.
    Rm {
        /// Its name.
        plan: PlanName,
        #[command(flatten)]
        common: Common,
    },
}

/// Numbers of a plan or an account.
#[derive(Debug, Args)]
pub(crate) struct Numbers {
    /// Such as max_vms=5; `none` takes the number away. `rigbox plan ls` shows the names.
    #[arg(required = true, value_name = "NAME=NUMBER")]
    numbers: Vec<String>,
}

impl Numbers {
    /// What they change.
    ///
    /// # Errors
    /// Names the word that is no number, and the nearest name that there is.
    pub(crate) fn changes(&self) -> anyhow::Result<QuotaChanges> {
        let mut changes = Map::new();
        for word in &self.numbers {
            let (name, number) = word
                .split_once('=')
                .with_context(|| format!("{word} is not of the form NAME=NUMBER"))?;
            if !Quotas::NAMES.contains(&name) {
                let near = nearest(name, Quotas::NAMES.iter().copied()).unwrap_or_default();
                bail!("there is no number {name}\nhint: did you mean {near}?");
            }
            let value = match number {
                "none" => Value::Null,
                number => number
                    .parse::<u64>()
                    .with_context(|| format!("{name}: {number} is neither a number nor none"))?
                    .into(),
            };
            if changes.insert(name.to_owned(), value).is_some() {
                bail!("{name} is given twice");
            }
        }
        serde_json::from_value(Value::Object(changes)).context("read the numbers")
    }
}

/// Does what was asked with plans.
///
/// # Errors
/// Says what was refused, and what can be done about it.
pub(crate) fn plan(verb: PlanVerb) -> anyhow::Result<ExitCode> {
    match verb {
        PlanVerb::Ls { common } => on_api(&common, async |api| {
            let answer = api.plans().await?;
            if common.json {
                return document(&answer);
            }
            table(&rows(&answer.plans));
            Ok(())
        }),
        PlanVerb::Add { plan, numbers, common } => {
            let request = CreatePlanRequest { name: plan, limits: numbers.changes()? };
            on_api(&common, async |api| show(api.plan_create(&request).await?.plan, &common))
        }
        PlanVerb::Set { plan, numbers, common } => {
            let request = UpdatePlanRequest { limits: numbers.changes()? };
            on_api(&common, async |api| show(api.plan_update(&plan, &request).await?.plan, &common))
        }
        PlanVerb::Rm { plan, common } => on_api(&common, async |api| {
            let answer = api.plan_delete(&plan).await?;
            if common.json {
                return document(&answer);
            }
            output::note(&answer.message);
            Ok(())
        }),
    }
}

fn show(plan: Plan, common: &Common) -> anyhow::Result<()> {
    if common.json {
        return document(&plan);
    }
    table(&rows(&[plan]));
    Ok(())
}

/// One line a number, one column a plan.
fn rows(plans: &[Plan]) -> Vec<Vec<String>> {
    let heads = plans.iter().map(|plan| plan.name.to_string().to_uppercase());
    let mut rows = vec![std::iter::once("LIMIT".to_owned()).chain(heads).collect::<Vec<_>>()];
    for name in Quotas::NAMES {
        let numbers = plans.iter().map(|plan| {
            let named = plan.limits.named();
            let number = named.iter().find(|(known, _)| known == name).and_then(|(_, n)| *n);
            number.map_or_else(|| "-".to_owned(), |number| number.to_string())
        });
        rows.push(std::iter::once((*name).to_owned()).chain(numbers).collect());
    }
    rows
}
