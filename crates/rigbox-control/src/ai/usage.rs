//! What AI was used, as the API shows it.

use rigbox_store::ai_usage::{CallsOf, Used, UsedByModel, UsedInStep};
use rigbox_types::{
    AccountId, Credits, Timestamp,
    api::{
        ai::{
            AiTotals, AiUsageDaily, AiUsageDetail, AiUsageMetricsRange, AiUsageMetricsResponse,
            AiUsageMetricsSeries, AiUsageMetricsSummaryResponse, AiUsageModelTotal,
            AiUsageWorkspaceTotal, GetAiUsageResponse, USAGE_DAYS,
        },
        metrics::MetricPoint,
    },
};

use crate::{control::Control, error::ApiResult, metrics::series, source::now};

const DAY_S: i64 = 24 * 3_600;

/// The last days of an account: today and the days before it.
pub(super) async fn days(control: &Control, account: AccountId) -> ApiResult<GetAiUsageResponse> {
    let (usage, of) = (control.store.ai_usage(), CallsOf::Account(account));
    let since = first_day(now());
    let daily = usage.steps(&of, (since, DAY_S)).await?;
    let daily = daily
        .into_iter()
        .map(|(begins, used)| AiUsageDaily { day: day(begins), totals: totals(used) });
    let by_workspace = usage.by_workspace(account, since).await?;
    let by_workspace = by_workspace.into_iter().map(|of| AiUsageWorkspaceTotal {
        workspace_name: of.name.unwrap_or_else(|| of.workspace.to_string()),
        workspace_id: of.workspace,
        totals: totals(of.used),
    });
    Ok(GetAiUsageResponse {
        window_days: USAGE_DAYS,
        daily: daily.collect(),
        by_workspace: by_workspace.collect(),
        by_model: models(usage.by_model(&of, since).await?),
        details: usage.details(account, (since, DAY_S)).await?.into_iter().map(detail).collect(),
    })
}

fn detail(used: UsedInStep) -> AiUsageDetail {
    AiUsageDetail {
        day: day(used.begins),
        workspace_name: used.name.unwrap_or_else(|| used.workspace.to_string()),
        workspace_id: used.workspace,
        of: model(used.of),
    }
}

/// A day, such as `2026-11-29`.
fn day(begins: Timestamp) -> String {
    begins.to_string().chars().take("2026-11-29".len()).collect()
}

/// The points of a range.
pub(super) async fn metrics(
    control: &Control,
    of: &CallsOf,
    range: AiUsageMetricsRange,
) -> ApiResult<AiUsageMetricsResponse> {
    let since = series::from(range, now());
    let steps = control.store.ai_usage().steps(of, (since, range.step_seconds())).await?;
    let mut series = AiUsageMetricsSeries::default();
    for (begins, used) in steps {
        let totals = totals(used);
        let point = |v| MetricPoint { t: begins.as_micros().div_euclid(1_000_000), v };
        series.credits.push(point(totals.credits));
        series.input_tokens.push(point(approximate(totals.input_tokens)));
        series.output_tokens.push(point(approximate(totals.output_tokens)));
        series.requests.push(point(approximate(totals.requests)));
    }
    let workspace_id = workspace(of);
    Ok(AiUsageMetricsResponse { workspace_id, range, step_seconds: range.step_seconds(), series })
}

/// A range, added up.
pub(super) async fn summary(
    control: &Control,
    of: &CallsOf,
    range: AiUsageMetricsRange,
) -> ApiResult<AiUsageMetricsSummaryResponse> {
    let (usage, since) = (control.store.ai_usage(), series::from(range, now()));
    let all = totals(usage.totals(of, since).await?);
    Ok(AiUsageMetricsSummaryResponse {
        workspace_id: workspace(of),
        range,
        total_credits: all.credits,
        total_credits_micro: all.credits_micro,
        input_tokens: all.input_tokens,
        output_tokens: all.output_tokens,
        total_requests: all.requests,
        by_model: models(usage.by_model(of, since).await?),
    })
}

/// A sum, for clients.
pub(super) fn totals(used: Used) -> AiTotals {
    AiTotals {
        credits: Credits::from_micro(used.charged_micro).unwrap_or(Credits::MAX).approximate(),
        credits_micro: used.charged_micro,
        input_tokens: used.input_tokens,
        output_tokens: used.output_tokens,
        requests: used.requests,
    }
}

fn models(models: Vec<UsedByModel>) -> Vec<AiUsageModelTotal> {
    models.into_iter().map(model).collect()
}

fn model(of: UsedByModel) -> AiUsageModelTotal {
    AiUsageModelTotal { provider: of.provider, model: of.model, totals: totals(of.used) }
}

fn workspace(of: &CallsOf) -> Option<rigbox_types::WorkspaceId> {
    match of {
        CallsOf::Account(_) => None,
        CallsOf::Workspace(id) => Some(id.clone()),
    }
}

/// When the first of the days begins.
fn first_day(now: Timestamp) -> Timestamp {
    let day = DAY_S.saturating_mul(1_000_000);
    let before = i64::from(USAGE_DAYS).saturating_sub(1);
    let first = now.as_micros().div_euclid(day).saturating_sub(before);
    Timestamp::from_micros(first.saturating_mul(day))
}

/// A count as a point of a series has it: exact below 2^53.
#[expect(clippy::cast_precision_loss, reason = "points are for pictures")]
fn approximate(count: i64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_days_are_today_and_those_before_it() {
        let now: Timestamp = "2026-11-29T23:59:59Z".parse().unwrap();
        assert_eq!(first_day(now).to_string(), "2026-10-31T00:00:00Z");
    }
}
