//! What a call comes to before anything is held or sent: which provider, which model, what its worst case
//! costs, and what of the request is changed.
//! Invariant: pure but for the tables it is given; a model that has no price is refused where the platform
//! pays.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use http::StatusCode;
use rigbox_ai::{
    estimate::{Estimate, Request, RequestError},
    prices::{Model, ProviderName, Table},
    route::{
        Operation, Route, Spoken,
        headers::Payer,
        rewrite::{CallsField, Changes, OutputField, rewrite},
        slug,
    },
    translate::{self, Target, Translated},
};
use rigbox_store::ai::AiCaller;
use rigbox_types::{Timestamp, api::ai::AiMode};
use serde::Deserialize;

use crate::{
    caller,
    provider::{Provider, Providers},
    refusal::Refusal,
};

/// Longest name of a model: longer than any there is.
const MODEL_MAX_LEN: usize = 128;

/// What a model is called that a request need not name.
pub(crate) const DEFAULT_ALIAS: &str = "rigbox/default";

/// What a search on the web is priced as: it has no model.
const WEB_SEARCH: &str = "web/search";

/// What a plan is made with.
pub(crate) struct Tables<'a> {
    pub(crate) providers: &'a Providers,
    pub(crate) prices: &'a Table,
    pub(crate) aliases: &'a BTreeMap<String, String>,
    pub(crate) now: Timestamp,
}

/// See the module.
pub(crate) struct Plan<'a> {
    pub(crate) provider: &'a Provider,
    pub(crate) operation: Operation,
    /// As the provider names it; empty where a call has none.
    pub(crate) model: String,
    /// As the caller has named it.
    pub(crate) named: Option<String>,
    pub(crate) request: Request,
    pub(crate) payer: Payer,
    /// What is held; none where the platform does not pay.
    pub(crate) estimate: Option<Estimate>,
    /// Whether the provider speaks otherwise than the caller.
    pub(crate) is_translated: bool,
    /// Whether the caller speaks to us rather than to a provider.
    pub(crate) is_gateway: bool,
}

impl<'a> Plan<'a> {
    /// Plans a call.
    pub(crate) fn make(
        tables: &Tables<'a>,
        caller: &AiCaller,
        route: &Route,
        body: &Bytes,
    ) -> Result<Self, Refusal> {
        let operation = route.operation;
        let mut request = read(operation, body, caller.mode)?;
        let named = route.model.clone().or_else(|| request.model.clone());
        let (provider, model) = target(tables, caller, route, named.as_deref())?;
        // Before its prices: there are none of who is not asked.
        caller::check_offered(caller, provider)?;
        // Also where it is a default, or a prefix was taken off.
        if operation.is_priced() {
            check_name(&model)?;
        }
        let is_gateway = route.spoken == Spoken::Gateway;
        let is_translated = is_gateway && provider.dialect != operation.dialect();
        if is_translated {
            // All that a provider would run itself is refused then, with its name (see `translate`):
            // a bound or a price of it is not asked for first.
            request.tools = Request::without_body(operation).tools;
        }
        let payer = match caller.mode {
            AiMode::Byok => Payer::Owner,
            AiMode::Managed => Payer::Platform,
        };
        let estimate = match payer {
            Payer::Owner => None,
            Payer::Platform if !operation.is_priced() => None,
            Payer::Platform => {
                let row: Arc<Model> = tables.prices.model(&provider.name, &model, tables.now)?;
                Some(Estimate::of(&request, &row)?)
            }
        };
        Ok(Self {
            provider,
            operation,
            model,
            named,
            request,
            payer,
            estimate,
            is_translated,
            is_gateway,
        })
    }

    /// Whether the answer comes as a stream.
    pub(crate) fn is_stream(&self) -> bool {
        self.request.is_stream || self.operation == Operation::StreamGenerate
    }

    /// Whether a stream has to be asked for its usage, and the answer to that taken out again.
    pub(crate) fn adds_usage(&self) -> bool {
        let is_chat = matches!(self.operation, Operation::ChatCompletion | Operation::Completion);
        is_chat && !self.is_translated && self.request.is_stream && !self.request.asks_for_usage
    }

    /// The body as it goes to the provider.
    pub(crate) fn body(&self, body: &Bytes) -> Result<Bytes, Refusal> {
        let is_renamed =
            self.request.model.is_some() && self.request.model.as_deref() != Some(&self.model);
        let is_missing = self.is_gateway && self.named.is_none() && !self.model.is_empty();
        let output = self.bound().and_then(|tokens| Some((self.output_field()?, tokens)));
        let is_response = self.payer == Payer::Platform && self.operation == Operation::Response;
        let thinks =
            self.estimate.as_ref().is_some_and(|estimate| estimate.model.encrypts_reasoning);
        let changes = Changes {
            include_usage: self.adds_usage(),
            model: (is_renamed || is_missing).then(|| self.model.clone()),
            output,
            tool_calls: self.tool_calls(),
            no_store: is_response,
            include_reasoning: is_response && thinks,
        };
        if changes == Changes::default() {
            return Ok(body.clone());
        }
        let rewritten = rewrite(body, &changes).map(Bytes::from);
        rewritten.ok_or_else(|| Refusal::invalid("the body must be one JSON object"))
    }

    /// The request as a provider takes it that speaks otherwise.
    pub(crate) fn translated(&self, body: &Bytes) -> Result<Translated, Refusal> {
        /// Where nobody knows the model: what every one of them can write.
        const OUTPUT_TOKENS: u64 = 4_096;
        let bound = self.estimate.as_ref().map_or(OUTPUT_TOKENS, |estimate| {
            estimate.output_tokens.checked_div(estimate.answers).unwrap_or(OUTPUT_TOKENS)
        });
        let target =
            Target { dialect: self.provider.dialect, model: &self.model, max_output: bound.max(1) };
        translate::request(self.operation, body, &target).map_err(|error| {
            let message = format!("{error}; {}", error.hint());
            Refusal::invalid(message).with(serde_json::json!({ "field": error.field() }))
        })
    }

    /// The bound of what is written that has to be put into the request, because less is held than the
    /// model may write.
    pub(crate) fn bound(&self) -> Option<u64> {
        let estimate = self.estimate.as_ref()?;
        let most = estimate.model.max_output_tokens.saturating_mul(estimate.answers);
        let is_clamped = !estimate.output_is_explicit && estimate.output_tokens < most;
        is_clamped.then(|| estimate.output_tokens.checked_div(estimate.answers).unwrap_or(1).max(1))
    }

    /// The bound of what tools of the provider do that has to be put into the request.
    fn tool_calls(&self) -> Option<(CallsField, u64)> {
        Some((CallsField::of(self.operation)?, self.estimate.as_ref()?.tool_calls?))
    }

    fn output_field(&self) -> Option<OutputField> {
        match OutputField::of(self.operation)? {
            // Its own name of it is not known to all who copy OpenAI.
            OutputField::MaxCompletionTokens if self.provider.name.as_str() != "openai" => {
                Some(OutputField::MaxTokens)
            }
            field => Some(field),
        }
    }
}

/// Reads what a body says. With a key of the owner's own only what routing needs must be right.
fn read(operation: Operation, body: &Bytes, mode: AiMode) -> Result<Request, Refusal> {
    #[derive(Deserialize)]
    struct Lenient {
        model: Option<String>,
        stream: Option<bool>,
        user: Option<serde_json::Value>,
    }
    if matches!(operation, Operation::ModelList | Operation::WebSearch) {
        return Ok(Request::without_body(operation));
    }
    let is_for_everybody = |error: &RequestError| {
        matches!(error, RequestError::TooLong | RequestError::NoObject | RequestError::TooDeep)
    };
    match Request::read(operation, body) {
        Ok(request) => Ok(request),
        Err(error) if mode == AiMode::Managed || is_for_everybody(&error) => {
            Err(rigbox_ai::estimate::EstimateError::from(error).into())
        }
        Err(_) => {
            let lenient: Lenient = serde_json::from_slice(body)
                .map_err(|error| Refusal::invalid(format!("the body: {error}")))?;
            Ok(Request {
                model: lenient.model,
                is_stream: lenient.stream.unwrap_or(false),
                user: lenient.user.and_then(|user| user.as_str().map(str::to_owned)),
                // It is the provider's to say what is wrong with the rest.
                asks_for_usage: true,
                ..Request::without_body(operation)
            })
        }
    }
}

/// Whether a model may be called so.
fn check_name(name: &str) -> Result<(), Refusal> {
    let is_visible = name.bytes().all(|byte| byte.is_ascii_graphic());
    if (1..=MODEL_MAX_LEN).contains(&name.len()) && is_visible {
        return Ok(());
    }
    let message = format!("model must be 1 to {MODEL_MAX_LEN} characters of visible ASCII");
    Err(Refusal::invalid(message))
}

/// Which provider and model are meant.
fn target<'a>(
    tables: &Tables<'a>,
    caller: &AiCaller,
    route: &Route,
    named: Option<&str>,
) -> Result<(&'a Provider, String), Refusal> {
    if let Some(name) = named {
        check_name(name)?;
    }
    match &route.spoken {
        Spoken::Native(name) => {
            let provider = configured(tables, name)?;
            let own = |model: &str| {
                let prefix = format!("{name}/");
                model.strip_prefix(&prefix).unwrap_or(model).to_owned()
            };
            let model = match (named, route.operation) {
                (Some(named), _) => own(named),
                (None, Operation::WebSearch) => WEB_SEARCH.to_owned(),
                (None, operation) if operation.is_priced() => {
                    return Err(Refusal::invalid("model must be there"));
                }
                (None, _) => String::new(),
            };
            Ok((provider, model))
        }
        Spoken::Gateway => {
            let named = match named {
                Some(name) => name.to_owned(),
                None => default_model(tables, caller)?,
            };
            let named = tables.aliases.get(&named).cloned().unwrap_or(named);
            by_slug(tables, caller, &named)
        }
    }
}

fn default_model(tables: &Tables<'_>, caller: &AiCaller) -> Result<String, Refusal> {
    let own = caller.model.as_ref().map(|model| match caller.provider {
        Some(provider) if !model.contains('/') => format!("{}/{model}", provider.as_str()),
        Some(_) | None => model.clone(),
    });
    own.or_else(|| tables.aliases.get(DEFAULT_ALIAS).cloned()).ok_or_else(|| {
        Refusal::invalid(
            "model must be there: the workspace has none by default (`rig ai defaults --model …`), and \
             the platform has no alias \"rigbox/default\" (ai.aliases)",
        )
    })
}

fn by_slug<'a>(
    tables: &Tables<'a>,
    caller: &AiCaller,
    named: &str,
) -> Result<(&'a Provider, String), Refusal> {
    /// What aliases begin with, so that they are nobody's model.
    const ALIAS: &str = "rigbox/";
    let direct: Vec<ProviderName> = tables
        .providers
        .keys()
        .filter(|name| !matches!(name.as_str(), "openrouter" | "brave"))
        .cloned()
        .collect();
    // SDKs of a vendor name its models without it.
    if !named.contains('/') {
        let has = |name: &&ProviderName| {
            let row = tables.prices.model(name, named, tables.now);
            let is_asked = |provider| caller::check_offered(caller, provider).is_ok();
            row.is_ok_and(|row| !row.is_fallback)
                && tables.providers.get(*name).is_some_and(is_asked)
        };
        if let Some(name) = direct.iter().find(has) {
            return Ok((configured(tables, name)?, named.to_owned()));
        }
    }
    let slug = slug(named, &direct).map_err(|error| Refusal::internal("a slug", &error))?;
    if slug.model.is_empty() {
        return Err(Refusal::invalid("model must name a model behind its provider"));
    }
    // What is nobody else's is OpenRouter's, where it is there.
    let provider = tables.providers.get(&slug.provider).filter(|provider| {
        let is_asked = || caller::check_offered(caller, provider).is_ok();
        direct.contains(&provider.name) || (!named.starts_with(ALIAS) && is_asked())
    });
    let provider = provider.ok_or_else(|| {
        let names: Vec<_> = direct.iter().map(ProviderName::as_str).collect();
        let slugs = format!("slugs begin with one of: {}", names.join(", "));
        let message = if named.starts_with(ALIAS) {
            format!("{named:?} stands for no model here: its operator sets ai.aliases; {slugs}")
        } else {
            format!("model {named:?} is of no provider that is configured here; {slugs}")
        };
        Refusal::new(StatusCode::NOT_FOUND, "model_not_found", message)
    })?;
    Ok((provider, slug.model))
}

fn configured<'a>(tables: &Tables<'a>, name: &ProviderName) -> Result<&'a Provider, Refusal> {
    tables.providers.get(name).ok_or_else(|| {
        let message = format!("the provider {name} is not configured here");
        Refusal::new(StatusCode::NOT_FOUND, "provider_not_configured", message)
    })
}
