//! The account and the installation at a glance: `rig status`, `limits`, `audit`, `capacity`,
//! `templates`.

use rigbox_types::api::{
    accounts::{CapacityResponse, GetDashboardResponse, GetUserLimitsResponse},
    audit::AuditResponse,
    templates::TemplatesResponse,
};

use crate::{
    cli::AuditArgs,
    client::{Document, Path},
    clock,
    error::CommandResult,
    output::{Fields, Table, ago},
    session::{App, Session},
    size,
    words::workspace_table,
};

/// The dashboard.
pub(super) async fn status(session: &Session) -> CommandResult {
    let output = &session.output;
    output.progress("reading the account's status");
    let answer: Document<GetDashboardResponse> =
        session.client.get(Path::api("/dashboard")).await?;
    if !output.is_human() {
        return output.document(&answer.raw);
    }
    let limits = &answer.value.limits;
    let mut fields = Fields::default();
    fields
        .add("server", session.profile.url.to_string())
        .add("plan", &limits.plan)
        .add("workspaces", of(limits.usage.workspace_count, limits.limits.max_vms))
        .add("vcpus", of(limits.usage.running_vcpus, limits.limits.max_running_vcpus))
        .add("memory", of_size(limits.usage.total_ram_mb, limits.limits.max_ram_total_mb))
        .add("disk", of_size(limits.usage.total_disk_mb, limits.limits.max_disk_total_mb))
        .add("credits", super::credits::left(&answer.value.ai_credits));
    output.fields(&fields)?;
    if answer.value.workspaces.is_empty() {
        output.notice("no workspaces yet");
        output.hint("rig workspace spawn my-first");
        return Ok(());
    }
    output.text("\n")?;
    output.table(&workspace_table(&answer.value.workspaces, clock::now()), "")
}

/// What the account may use and does use.
pub(super) async fn limits(session: &Session) -> CommandResult {
    let output = &session.output;
    output.progress("reading the account's limits");
    let answer: Document<GetUserLimitsResponse> =
        session.client.get(Path::api("/users/me/limits")).await?;
    if !output.is_human() {
        return output.document(&answer.raw);
    }
    let (limits, usage) = (&answer.value.limits, &answer.value.usage);
    let custom = if answer.value.custom { ", with numbers of your own" } else { "" };
    output.line(format!("plan {}{custom}", answer.value.plan))?;
    let mut table = Table::new(["LIMIT", "USED", "MAXIMUM"]);
    let rows = [
        ("workspaces", usage.workspace_count.to_string(), number(limits.max_vms)),
        ("vcpus running", usage.running_vcpus.to_string(), number(limits.max_running_vcpus)),
        ("vcpus per workspace", "-".to_owned(), number(limits.max_vcpu_per_vm)),
        ("memory running", size::show(usage.total_ram_mb), amount(limits.max_ram_total_mb)),
        ("memory per workspace", "-".to_owned(), amount(limits.max_ram_per_vm_mb)),
        ("disk", size::show(usage.total_disk_mb), amount(limits.max_disk_total_mb)),
        ("disk per workspace", "-".to_owned(), amount(limits.max_disk_per_vm_mb)),
        ("ssh keys", usage.ssh_key_count.to_string(), number(limits.max_ssh_keys)),
        ("apps per workspace", "-".to_owned(), optional(limits.max_apps_per_vm)),
        ("snapshots per workspace", "-".to_owned(), optional(limits.max_snapshots_per_vm)),
        (
            "ai credits a month",
            usage.ai_credits_used.to_string(),
            optional(limits.max_ai_credits_per_month),
        ),
    ];
    for (name, used, maximum) in rows {
        table.row([name.into(), used.into(), maximum.into()]);
    }
    output.table(&table, "")
}

/// Who asked for what.
pub(super) async fn audit(session: &Session, args: &AuditArgs) -> CommandResult {
    let output = &session.output;
    output.progress("reading the audit record");
    let path = Path::api("/audit").query("max_results", args.limit.to_string());
    let answer: Document<AuditResponse> = session.client.get(path).await?;
    if !output.is_human() {
        return output.document(&answer.raw);
    }
    let now = clock::now();
    let mut table = Table::new(["WHEN", "ACTION", "RESULT", "ACTOR", "FROM", "TARGET"]);
    for entry in &answer.value.entries {
        let status = entry.status.map(|status| status.to_string());
        let result = entry.code.clone().or(status).unwrap_or_else(|| "begun".to_owned());
        table.row([
            ago(now, entry.at).into(),
            (&entry.action).into(),
            result.into(),
            (&entry.actor).into(),
            entry.address.as_deref().unwrap_or("-").into(),
            (&entry.target).into(),
        ]);
    }
    output.table(&table, "nothing is recorded yet")
}

/// How many workspaces there is room for. Needs no key.
pub(super) async fn capacity(app: &App) -> CommandResult {
    let output = &app.output;
    output.progress("reading the capacity");
    let client = app.client(&app.profile()?);
    let answer: Document<CapacityResponse> = client.get(Path::api("/capacity")).await?;
    if !output.is_human() {
        return output.document(&answer.raw);
    }
    let capacity = answer.value;
    output.line(format!(
        "room for {} more of {} workspaces of the default template; {} in use",
        capacity.available, capacity.total, capacity.used
    ))
}

/// The templates. Needs no key.
pub(super) async fn templates(app: &App) -> CommandResult {
    let output = &app.output;
    output.progress("reading the templates");
    let client = app.client(&app.profile()?);
    let answer: Document<TemplatesResponse> = client.get(Path::api("/templates")).await?;
    if !output.is_human() {
        return output.document(&answer.raw);
    }
    let mut table = Table::new(["ID", "IMAGE", "MEMORY", "VCPUS", "DISK", "DESCRIPTION"]);
    for template in &answer.value.templates {
        table.row([
            template.id.as_str().into(),
            template.image.as_str().into(),
            size::show(template.ram_mb.into()).into(),
            template.vcpu_count.to_string().into(),
            size::show(template.disk_size_mb.into()).into(),
            (&template.description).into(),
        ]);
    }
    output.table(&table, "this server has no templates")
}

/// A maximum beyond any machine means that the machines are the limit.
const UNLIMITED_FROM: u64 = 1 << 40;

fn number(maximum: u64) -> String {
    if maximum >= UNLIMITED_FROM { "-".to_owned() } else { maximum.to_string() }
}

fn optional(maximum: Option<u64>) -> String {
    maximum.map_or_else(|| "-".to_owned(), number)
}

fn amount(maximum_mb: u64) -> String {
    if maximum_mb >= UNLIMITED_FROM { "-".to_owned() } else { size::show(maximum_mb) }
}

fn of(used: u64, maximum: u64) -> String {
    if maximum >= UNLIMITED_FROM { used.to_string() } else { format!("{used} of {maximum}") }
}

fn of_size(used_mb: u64, maximum_mb: u64) -> String {
    let used = size::show(used_mb);
    if maximum_mb >= UNLIMITED_FROM {
        used
    } else {
        format!("{used} of {}", size::show(maximum_mb))
    }
}
