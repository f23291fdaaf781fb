//! JSON by its parts, each as it is written: what is passed on is neither decoded nor encoded anew, so
//! that the order of names, the digits of numbers and the escapes of texts survive.
//! Invariants: nothing recurses; a part keeps the bytes that it had; where something else stands than
//! what must, the error names the field.
//! Does not bound what is read: whoever calls has (see `estimate::Request`).

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, MapAccess, SeqAccess, Visitor},
    ser,
};
use serde_json::value::RawValue;

use super::TranslateError;

/// Most members of an object whose members are read. Requests have some dozens.
const MEMBERS_MAX: usize = 1_024;

/// What an object must be.
const OBJECT: &str = "an object of at most 1024 members";

/// An object's members, in their order.
#[derive(Debug)]
pub(super) struct Object<'b> {
    members: Vec<(Cow<'b, str>, &'b RawValue)>,
    /// What it is called in errors; empty where it is the request.
    at: String,
}

impl<'b> Object<'b> {
    /// What is at `at`.
    pub(super) fn read(raw: &'b RawValue, at: String) -> Result<Self, TranslateError> {
        match serde_json::from_str::<Members<'b>>(raw.get()) {
            Ok(Members(members)) => Ok(Self { members, at }),
            Err(_) => Err(TranslateError::invalid(at, OBJECT)),
        }
    }

    /// A body.
    pub(super) fn of_body(body: &'b [u8]) -> Result<Self, TranslateError> {
        match serde_json::from_slice::<Members<'b>>(body) {
            Ok(Members(members)) => Ok(Self { members, at: String::new() }),
            Err(_) => Err(TranslateError::invalid("the body".to_owned(), OBJECT)),
        }
    }

    /// A member's name in errors.
    pub(super) fn field(&self, name: &str) -> String {
        if self.at.is_empty() { name.to_owned() } else { format!("{}.{name}", self.at) }
    }

    /// Takes a member out. One that is null is as good as absent; of two, one is left.
    pub(super) fn take(&mut self, name: &str) -> Option<&'b RawValue> {
        let index = self.members.iter().position(|(member, _)| member == name)?;
        let (_, raw) = self.members.remove(index);
        (raw.get() != "null").then_some(raw)
    }

    /// Takes members out that change nothing.
    pub(super) fn drop_harmless(&mut self, names: &[&str]) {
        self.members.retain(|(member, _)| !names.contains(&&**member));
    }

    /// Takes out a member that must be there.
    pub(super) fn need(
        &mut self,
        name: &str,
        must: &'static str,
    ) -> Result<&'b RawValue, TranslateError> {
        self.take(name).ok_or_else(|| TranslateError::invalid(self.field(name), must))
    }

    /// Takes out a text that must be there.
    pub(super) fn need_text(&mut self, name: &str) -> Result<Cow<'b, str>, TranslateError> {
        let raw = self.need(name, "a text")?;
        text(raw).ok_or_else(|| TranslateError::invalid(self.field(name), "a text"))
    }

    /// Takes out a text, as it is written.
    pub(super) fn take_raw_text(
        &mut self,
        name: &str,
    ) -> Result<Option<&'b RawValue>, TranslateError> {
        let Some(raw) = self.take(name) else { return Ok(None) };
        if !is_text(raw) {
            return Err(TranslateError::invalid(self.field(name), "a text"));
        }
        Ok(Some(raw))
    }

    /// Takes out `true` or `false`.
    pub(super) fn take_bool(&mut self, name: &str) -> Result<Option<bool>, TranslateError> {
        match self.take(name).map(RawValue::get) {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(_) => Err(TranslateError::invalid(self.field(name), "true or false")),
        }
    }

    /// Takes out a number, as it is written.
    pub(super) fn take_number(
        &mut self,
        name: &str,
    ) -> Result<Option<&'b RawValue>, TranslateError> {
        let Some(raw) = self.take(name) else { return Ok(None) };
        if !raw.get().starts_with(|first: char| first == '-' || first.is_ascii_digit()) {
            return Err(TranslateError::invalid(self.field(name), "a number"));
        }
        Ok(Some(raw))
    }

    /// Takes out a whole number.
    pub(super) fn take_count(&mut self, name: &str) -> Result<Option<u64>, TranslateError> {
        let Some(raw) = self.take(name) else { return Ok(None) };
        match raw.get().parse() {
            Ok(count) => Ok(Some(count)),
            Err(_) => Err(TranslateError::invalid(self.field(name), "a whole number from 0 on")),
        }
    }

    /// Whether no members are left.
    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Refuses a member that is there, unless it says what is so anyway.
    pub(super) fn refuse_unless(
        &mut self,
        name: &str,
        anyway: &[&str],
        why: &'static str,
    ) -> Result<(), TranslateError> {
        match self.take(name) {
            Some(raw) if !anyway.contains(&raw.get()) => {
                Err(TranslateError::unsupported(self.field(name), why))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Refuses what nobody has taken: what is not known may change what the caller gets.
    pub(super) fn finish(mut self) -> Result<(), TranslateError> {
        self.members.retain(|(_, raw)| raw.get() != "null");
        match self.members.first() {
            Some((name, _)) => {
                Err(TranslateError::unsupported(self.field(name), "it is not known"))
            }
            None => Ok(()),
        }
    }
}

/// The items of an array; none where it is something else, or has more than `most`: those are not read, as
/// an item of two bytes takes sixteen.
pub(super) fn items(raw: &RawValue, most: usize) -> Option<Vec<&RawValue>> {
    let mut json = serde_json::Deserializer::from_str(raw.get());
    let items = json.deserialize_seq(Items { most }).ok()?;
    json.end().ok()?;
    Some(items)
}

struct Items {
    most: usize,
}

impl<'de> Visitor<'de> for Items {
    type Value = Vec<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an array of at most {} items", self.most)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            if items.len() >= self.most {
                return Err(de::Error::invalid_length(items.len(), &self));
            }
            items.push(item);
        }
        Ok(items)
    }
}

/// Whether it is a text.
pub(super) fn is_text(raw: &RawValue) -> bool {
    raw.get().starts_with('"')
}

/// Whether it is a text of nothing.
pub(super) fn is_empty_text(raw: &RawValue) -> bool {
    raw.get() == "\"\""
}

/// A text without its escapes; none where it is something else.
pub(super) fn text(raw: &RawValue) -> Option<Cow<'_, str>> {
    serde_json::from_str::<Text<'_>>(raw.get()).ok().map(|Text(text)| text)
}

/// Texts one behind the other, as they are written; none where there are none.
pub(super) fn joined(texts: &[&RawValue]) -> Option<Box<RawValue>> {
    match texts {
        [] => None,
        [text] => Some((*text).to_owned()),
        texts => {
            let inner = |text: &&RawValue| {
                let text = text.get().strip_prefix('"')?.strip_suffix('"')?;
                Some(text.to_owned())
            };
            let inner: Option<String> = texts.iter().map(inner).collect();
            RawValue::from_string(format!("\"{}\"", inner?)).ok()
        }
    }
}

/// A text as JSON that may stand anywhere.
pub(super) fn of_text(text: String) -> Result<Box<RawValue>, TranslateError> {
    let invalid = |_| TranslateError::invalid("the body".to_owned(), "JSON");
    RawValue::from_string(text).map_err(invalid)
}

/// What is sent. Writing to memory does not fail, and no map here has names that are no texts.
pub(super) fn written(body: &impl Serialize) -> Result<Vec<u8>, TranslateError> {
    let invalid = |_| TranslateError::invalid("the body".to_owned(), "JSON");
    serde_json::to_vec(body).map_err(invalid)
}

/// JSON of one's own, as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Json(String);

impl Json {
    /// A copy.
    pub(super) fn of(raw: &RawValue) -> Self {
        Self(raw.get().to_owned())
    }

    /// What something is as JSON.
    pub(super) fn written(value: &impl Serialize) -> Result<Self, TranslateError> {
        let written = serde_json::to_string(value);
        let invalid = |_| TranslateError::invalid("the body".to_owned(), "JSON");
        written.map(Self).map_err(invalid)
    }

    /// A text. Writing one does not fail.
    pub(super) fn text(text: &str) -> Self {
        Self(serde_json::to_string(text).unwrap_or_default())
    }

    /// How many bytes it has.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it is a text of nothing.
    pub(super) fn is_empty_text(&self) -> bool {
        self.0 == "\"\""
    }

    /// Puts a text behind a text.
    pub(super) fn push(&mut self, text: &Self) {
        let more = text.0.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        if let (Some(more), Some('"')) = (more, self.0.pop()) {
            self.0.push_str(more);
        }
        self.0.push('"');
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw: &RawValue = serde_json::from_str(&self.0).map_err(ser::Error::custom)?;
        raw.serialize(serializer)
    }
}

#[derive(Debug)]
struct Members<'b>(Vec<(Cow<'b, str>, &'b RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visit;

        impl<'de> Visitor<'de> for Visit {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(OBJECT)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(Text(name)) = map.next_key()? {
                    if members.len() >= MEMBERS_MAX {
                        return Err(de::Error::custom(OBJECT));
                    }
                    members.push((name, map.next_value()?));
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Visit)
    }
}

/// A text that is borrowed where it has no escapes.
#[derive(Debug)]
struct Text<'b>(Cow<'b, str>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visit;

        impl<'de> Visitor<'de> for Visit {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }

        deserializer.deserialize_str(Visit)
    }
}
