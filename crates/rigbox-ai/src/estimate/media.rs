//! Images and other media of a request: how many there are, which bytes of the body are theirs, and
//! whether there is anything whose tokens no byte bounds.
//! Invariant: bytes are taken for an image's only where a provider would take them for one; everything
//! that is in doubt counts as text, or as all that the model reads.

use crate::json::{Holder, ITEM, Path, Value};

/// What was found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Media {
    /// Images, by value or reference.
    pub images: u64,
    /// Bytes of the body that are images.
    pub image_bytes: u64,
    /// Whether there is audio, video, a document, a file or a reference to what is not in the body.
    pub is_unbounded: bool,
}

/// Where parts of messages may be: none of these words names what a caller fills as it likes.
const PLACES: [&str; 13] = [
    ITEM,
    "content",
    "contents",
    "functionResponse",
    "function_response",
    "instructions",
    "messages",
    "parts",
    "source",
    "system",
    "systemInstruction",
    "system_instruction",
    "image_url",
];

/// One part of a message: Anthropic's block with its source, or Gemini's part.
#[derive(Debug, Clone, Copy, Default)]
struct Part {
    types: u8,
    is_image: bool,
    /// What its source is.
    source: Source,
}

#[derive(Debug, Clone, Copy, Default)]
struct Source {
    is_there: bool,
    types: u8,
    is_base64: bool,
    is_text: bool,
    is_image: bool,
    is_other: bool,
    data_bytes: u64,
}

/// Looks at a request as it is read.
#[derive(Debug, Default)]
pub(super) struct Eye {
    /// Parts within parts; a path has a limit, and so has this.
    parts: Vec<Part>,
    source: Source,
    pub(super) found: Media,
    /// The first field that names what is stored with the provider.
    pub(super) stored: Option<String>,
}

impl Eye {
    pub(super) fn value(&mut self, path: Path<'_>, value: Value<'_>) {
        let Some((last, holder)) = path.split_last() else { return };
        if !is_place(holder) {
            return self.inline(path, value);
        }
        match *last {
            "image_url" | "url" if *last == "image_url" || holder.last() == Some(&"image_url") => {
                self.image_address(value);
            }
            "type" if holder.last() == Some(&"source") => {
                self.source.types = self.source.types.saturating_add(1);
                self.source.is_base64 = value.text() == Some("base64");
                self.source.is_text = value.text() == Some("text");
            }
            "type" => {
                if let Some(part) = self.parts.last_mut() {
                    part.types = part.types.saturating_add(1);
                    part.is_image = value.text() == Some("image");
                }
                if value.text() == Some("item_reference") {
                    self.stored(path);
                }
            }
            "media_type" if holder.last() == Some(&"source") => self.source.kind(value),
            "data" if holder.last() == Some(&"source") => self.source.add(value),
            "file_id" if value != Value::Null => self.stored(path),
            "file_url" | "file_data" | "file" | "input_audio" | "url" => {
                self.found.is_unbounded |= value != Value::Null && *last != "url";
            }
            _ => {}
        }
    }

    /// What is in a holder whose own name is no place: Gemini's data, and OpenAI's file.
    fn inline(&mut self, path: Path<'_>, value: Value<'_>) {
        let Some((last, [part @ .., inline])) = path.split_last() else { return };
        if !is_place(part) {
            return;
        }
        match (*inline, *last) {
            ("inlineData" | "inline_data", "mimeType" | "mime_type") => self.source.kind(value),
            ("inlineData" | "inline_data", "data") => self.source.add(value),
            ("file", "file_id") if value != Value::Null => self.stored(path),
            ("fileData" | "file_data", "fileUri" | "file_uri")
                if value.text().is_some_and(|address| !is_public(address)) =>
            {
                self.stored(path);
            }
            _ => {}
        }
    }

    fn stored(&mut self, path: Path<'_>) {
        self.stored.get_or_insert_with(|| path.join("."));
    }

    pub(super) fn opened(&mut self, path: Path<'_>, holder: Holder) {
        let Some((last, before)) = path.split_last() else { return };
        if !is_place(before) {
            return;
        }
        match *last {
            ITEM if holder == Holder::Object => self.parts.push(Part::default()),
            "source" | "inlineData" | "inline_data" => {
                self.source = Source { is_there: true, ..Source::default() };
            }
            "fileData" | "file_data" | "file" | "input_audio" | "video_url" => {
                self.found.is_unbounded = true;
            }
            _ => {}
        }
    }

    pub(super) fn closed(&mut self, path: Path<'_>, holder: Holder) {
        let Some((last, before)) = path.split_last() else { return };
        if !is_place(before) {
            return;
        }
        match *last {
            ITEM if holder == Holder::Object => {
                if let Some(part) = self.parts.pop() {
                    self.part_ended(part);
                }
            }
            "source" => {
                let source = std::mem::take(&mut self.source);
                match self.parts.last_mut() {
                    // A second one beside it is in doubt.
                    Some(part) if part.source.is_there => self.found.is_unbounded = true,
                    Some(part) => part.source = source,
                    None => self.found.is_unbounded = true,
                }
            }
            "inlineData" | "inline_data" => {
                let source = std::mem::take(&mut self.source);
                if source.is_image && !source.is_other {
                    self.image(source.data_bytes);
                } else {
                    self.found.is_unbounded = true;
                }
            }
            _ => {}
        }
    }

    fn part_ended(&mut self, part: Part) {
        let source = part.source;
        if !source.is_there {
            return;
        }
        let is_image = part.types == 1 && part.is_image;
        let is_value = source.types == 1 && source.is_base64 && source.is_image && !source.is_other;
        match (is_image, is_value) {
            (true, true) => self.image(source.data_bytes),
            // By reference.
            (true, false) if source.data_bytes == 0 => self.image(0),
            // A text that is a document is in the body.
            _ if source.types == 1 && source.is_text => {}
            _ => self.found.is_unbounded = true,
        }
    }

    fn image_address(&mut self, value: Value<'_>) {
        let Some(text) = value.text() else { return };
        let is_value = text.starts_with("data:image/");
        if text.starts_with("data:") && !is_value {
            self.found.is_unbounded = true;
        }
        self.image(if is_value { value.text_bytes() } else { 0 });
    }

    fn image(&mut self, bytes: u64) {
        self.found.images = self.found.images.saturating_add(1);
        self.found.image_bytes = self.found.image_bytes.saturating_add(bytes);
    }
}

impl Source {
    fn kind(&mut self, value: Value<'_>) {
        let is_image = value.text().is_some_and(|text| text.starts_with("image/"));
        self.is_image |= is_image;
        self.is_other |= !is_image;
    }

    fn add(&mut self, value: Value<'_>) {
        self.data_bytes = self.data_bytes.saturating_add(value.text_bytes());
    }
}

/// Whether an address is of the web at large: Google's own hold what was stored with a key.
fn is_public(address: &str) -> bool {
    let Some(rest) = address.strip_prefix("https://") else { return false };
    let host = rest.split(['/', '?', '#', '\\']).next().unwrap_or_default();
    // What stands before an `@` is no host, and a host may end with a dot.
    let name = host.split(':').next().unwrap_or_default().trim_end_matches('.');
    let is_google = name.to_ascii_lowercase().ends_with("googleapis.com");
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
    !name.is_empty() && name.bytes().all(is_plain) && !host.contains('@') && !is_google
}

/// Whether parts may be here. The arguments of a call are called `input` as well, but not outermost.
fn is_place(path: Path<'_>) -> bool {
    let Some((first, rest)) = path.split_first() else { return false };
    let is_inner = |word: &&str| match *word {
        "input" => false,
        "output" => *first == "input",
        word => PLACES.contains(&word),
    };
    (*first == "input" || PLACES.contains(first)) && rest.iter().all(is_inner)
}
