//! Vectors of texts: OpenAI's request as Gemini's batch, and its answer back.
//! Invariants: one vector for each text, in their order; usage is there where Gemini has told it.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{
    Answering, Kind, Target, TranslateError, named,
    raw::{self, Object},
};
use crate::usage::{Report, Standing};

/// Most texts of a request: what OpenAI takes.
const TEXTS_MAX: usize = 2_048;

#[derive(Debug, Serialize)]
struct Batch<'b> {
    requests: Vec<One<'b>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct One<'b> {
    model: &'b str,
    content: Content<'b>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_dimensionality: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Content<'b> {
    parts: [Part<'b>; 1],
}

#[derive(Debug, Serialize)]
struct Part<'b> {
    text: &'b RawValue,
}

/// The body, and what is needed for the answer.
pub(super) fn body(
    body: &[u8],
    target: &Target<'_>,
) -> Result<(Vec<u8>, Answering), TranslateError> {
    let mut object = Object::of_body(body)?;
    let called = named(&mut object, target)?;
    let must = "a text, or an array of at most 2048 texts";
    let input = object.need("input", must)?;
    let texts = if raw::is_text(input) { Some(vec![input]) } else { raw::items(input, TEXTS_MAX) };
    let fits =
        |texts: &Vec<&RawValue>| !texts.is_empty() && texts.iter().all(|text| raw::is_text(text));
    let texts = texts.filter(fits);
    let texts = texts.ok_or_else(|| TranslateError::invalid("input".to_owned(), must))?;
    let output_dimensionality = object.take_count("dimensions")?;
    let format = object.take("encoding_format").map(RawValue::get);
    let is_base64 = match format {
        None | Some("\"float\"") => false,
        Some("\"base64\"") => true,
        Some(_) => {
            let field = "encoding_format".to_owned();
            return Err(TranslateError::invalid(field, "\"float\" or \"base64\""));
        }
    };
    object.drop_harmless(&["user"]);
    object.finish()?;
    let model = format!("models/{}", target.model);
    let one = |text| One {
        model: &model,
        content: Content { parts: [Part { text }] },
        output_dimensionality,
    };
    let body = raw::written(&Batch { requests: texts.into_iter().map(one).collect() })?;
    let answering = Answering {
        dialect: target.dialect,
        kind: Kind::Embedding { is_base64 },
        model: called,
        is_stream: false,
        include_usage: false,
        is_by_tool: false,
    };
    Ok((body, answering))
}

#[derive(Debug, Deserialize)]
struct Response<'a> {
    #[serde(borrow)]
    embeddings: Vec<Values<'a>>,
}

#[derive(Debug, Deserialize)]
struct Values<'a> {
    #[serde(borrow)]
    values: &'a RawValue,
}

#[derive(Debug, Serialize)]
struct List<'a> {
    object: &'static str,
    data: Vec<Vector<'a>>,
    model: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<UsageOut>,
}

#[derive(Debug, Serialize)]
struct Vector<'a> {
    object: &'static str,
    index: usize,
    embedding: Numbers<'a>,
}

impl<'a> Vector<'a> {
    fn of(index: usize, vector: &Values<'a>, is_base64: bool) -> Option<Self> {
        let numbers: Vec<f32> = serde_json::from_str(vector.values.get()).ok()?;
        let embedding = if is_base64 {
            let bytes: Vec<u8> = numbers.into_iter().flat_map(f32::to_le_bytes).collect();
            Numbers::Base64(STANDARD.encode(bytes))
        } else {
            Numbers::Written(vector.values)
        };
        Some(Self { object: "embedding", index, embedding })
    }
}

/// Numbers as they are written, or in base64.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Numbers<'a> {
    Written(&'a RawValue),
    Base64(String),
}

#[derive(Debug, Serialize)]
struct UsageOut {
    prompt_tokens: u64,
    total_tokens: u64,
}

/// The answer; none where it is none.
pub(super) fn answer(
    body: &[u8],
    model: &str,
    is_base64: bool,
    report: &Report,
) -> Option<Vec<u8>> {
    let response: Response<'_> = serde_json::from_slice(body).ok()?;
    let vectors = response.embeddings.iter().enumerate();
    let data: Option<Vec<_>> =
        vectors.map(|(index, vector)| Vector::of(index, vector, is_base64)).collect();
    let tokens = report.usage.input_tokens();
    let is_told = report.standing != Standing::Nothing;
    let usage = is_told.then_some(UsageOut { prompt_tokens: tokens, total_tokens: tokens });
    raw::written(&List { object: "list", data: data?, model, usage }).ok()
}
