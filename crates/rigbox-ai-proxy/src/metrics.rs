//! What operators want to see: calls, tokens, credits and errors by provider, as Prometheus reads them.
//! Invariant: labels are names of providers and words of ours, so that nobody makes them many.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{Mutex, PoisonError},
};

use crate::{
    journal::{Beginning, End},
    provider::Providers,
};

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    /// By provider, mode and basis.
    calls: BTreeMap<[String; 3], Sums>,
    /// By provider and what happened.
    failures: BTreeMap<(String, &'static str), u64>,
    /// By code.
    refusals: BTreeMap<&'static str, u64>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Sums {
    calls: u64,
    micro: u64,
    input: u64,
    output: u64,
}

impl Metrics {
    /// A call is over.
    pub(crate) fn ended(&self, beginning: &Beginning, end: &End) {
        let key = [beginning.provider.clone(), beginning.mode.clone(), end.basis.clone()];
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let sums = counts.calls.entry(key).or_default();
        sums.calls = sums.calls.saturating_add(1);
        sums.micro = sums.micro.saturating_add(u64::try_from(end.charge.micro()).unwrap_or(0));
        sums.input = sums.input.saturating_add(end.input);
        sums.output = sums.output.saturating_add(end.output);
    }

    /// A provider has failed.
    pub(crate) fn failed(&self, provider: &str, what: &'static str) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.failures.entry((provider.to_owned(), what)).or_default();
        *count = count.saturating_add(1);
    }

    /// A call was refused by us.
    pub(crate) fn refused(&self, code: &'static str) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.refusals.entry(code).or_default();
        *count = count.saturating_add(1);
    }

    /// All of it.
    pub(crate) fn text(
        &self,
        providers: &Providers,
        (under_way, waiting): (usize, usize),
    ) -> String {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        // Lines of a name stand together.
        let mut lines = BTreeMap::<&str, String>::new();
        let mut line = |name: &'static str, labels: &str, value: u64| {
            let of = lines.entry(name).or_insert_with(|| {
                let kind = if name.ends_with("_total") { "counter" } else { "gauge" };
                format!("# TYPE rigbox_ai_{name} {kind}\n")
            });
            // A string takes everything.
            writeln!(of, "rigbox_ai_{name}{labels} {value}").ok();
        };
        for ([provider, mode, basis], sums) in &counts.calls {
            let labels = format!("{{provider=\"{provider}\",mode=\"{mode}\",basis=\"{basis}\"}}");
            line("calls_total", &labels, sums.calls);
            line("charged_micro_credits_total", &labels, sums.micro);
            line("input_tokens_total", &labels, sums.input);
            line("output_tokens_total", &labels, sums.output);
        }
        for ((provider, what), count) in &counts.failures {
            let labels = format!("{{provider=\"{provider}\",what=\"{what}\"}}");
            line("provider_failures_total", &labels, *count);
        }
        for (code, count) in &counts.refusals {
            line("refusals_total", &format!("{{code=\"{code}\"}}"), *count);
        }
        for (name, provider) in providers {
            let labels = format!("{{provider=\"{name}\"}}");
            line("provider_is_broken", &labels, u64::from(provider.breaker.is_open()));
        }
        line("calls_under_way", "", u64::try_from(under_way).unwrap_or(u64::MAX));
        line("calls_to_be_posted", "", u64::try_from(waiting).unwrap_or(u64::MAX));
        lines.into_values().collect()
    }
}
