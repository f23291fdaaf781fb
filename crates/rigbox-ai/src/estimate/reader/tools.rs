//! Tools that a request brings: which of them a provider runs, and how often.

use super::{Path, Reader, RequestError, Tools, UNKNOWN_COST, Value};

impl Reader {
    pub(super) fn tool_value(&mut self, name: &str, path: Path<'_>, value: Value<'_>) {
        match name {
            _ if self.is_gemini() => self.gemini_tool(name),
            "type" => self.tool.kind = value.text().map(str::to_owned),
            "max_uses" => {
                self.tool.uses_max = self.tool_calls("tools[].max_uses", path, value);
            }
            _ => {}
        }
    }

    /// Google takes an object for a list of one: what is in it would be seen as no tool.
    pub(super) fn no_list(&mut self, path: Path<'_>) {
        let field = path.join(".");
        self.refuse(RequestError::Invalid { field, must: "a list of objects, or of one" });
    }

    pub(super) fn tool_ended(&mut self) {
        let tool = std::mem::take(&mut self.tool);
        let kind = tool.kind.as_deref().unwrap_or("function");
        let tools = &mut self.request.tools;
        let starts = |begins: &[&str]| begins.iter().any(|begin| kind.starts_with(begin));
        let client = ["function", "custom", "bash", "text_editor", "computer", "memory"];
        if starts(&["web_search_preview"]) {
            let field = format!("tools[].type {kind:?}");
            let why = "its price depends on the model; web_search is the same";
            tools.refused.get_or_insert(RequestError::NotOffered { field, why });
            return;
        }
        if starts(&["web_search"]) {
            tools.searches = true;
        } else if starts(&["web_fetch"]) {
            tools.fetches = true;
        } else if starts(&["file_search"]) {
            tools.file_searches = true;
        } else if starts(&["code_execution", "code_interpreter"]) {
            tools.code = true;
        } else if starts(&client) || starts(&["local_shell", "apply_patch"]) {
            tools.of_vendor =
                tools.of_vendor.saturating_add(u64::from(!starts(&["function", "custom"])));
            return;
        } else {
            let error = RequestError::NotOffered {
                field: format!("tools[].type {kind:?}"),
                why: UNKNOWN_COST,
            };
            tools.refused.get_or_insert(error);
            return;
        }
        tools.of_vendor = tools.of_vendor.saturating_add(1);
        match tool.uses_max {
            Some(uses) => tools.uses_max = tools.uses_max.saturating_add(uses),
            None if Tools::take_uses(kind) => {
                tools.without_uses = tools.without_uses.saturating_add(1);
            }
            None => tools.is_unbounded = true,
        }
    }

    pub(super) fn gemini_tool(&mut self, name: &str) {
        match name {
            "functionDeclarations" | "function_declarations" => {}
            "googleSearch"
            | "google_search"
            | "googleSearchRetrieval"
            | "google_search_retrieval" => self.request.tools.searches = true,
            "codeExecution" | "code_execution" | "urlContext" | "url_context" => {
                self.request.media.is_unbounded = true;
            }
            _ => {
                let error = RequestError::NotOffered {
                    field: "tools[]".to_owned(),
                    why: "a tool is among them that has no known cost",
                };
                self.request.tools.refused.get_or_insert(error);
            }
        }
    }
}
