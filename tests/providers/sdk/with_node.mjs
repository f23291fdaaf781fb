// Uses the AI providers with their own SDKs for Node, as a program would, and checks what it gets.
//
// Takes where to and which keys from the SDKs' own environment variables alone, so that it runs beside the
// simulator and in a workspace; NODE_SDKS is the folder of their packages where it is not this one. Prints one
// line of JSON a check; ends with 1 if one failed. Names of checks as arguments choose among them.

import { deepStrictEqual as same, ok, rejects } from "node:assert";
import { createRequire } from "node:module";
import path from "node:path";

const sdk = createRequire(path.join(process.env.NODE_SDKS ?? import.meta.dirname, "package.json"));
const { default: OpenAI } = sdk("openai");
const { default: Anthropic } = sdk("@anthropic-ai/sdk");
const { GoogleGenAI, ApiError } = sdk("@google/genai");

const GPT = process.env.OPENAI_MODEL ?? "gpt-4.1-mini";
const CLAUDE = process.env.ANTHROPIC_MODEL ?? "claude-haiku-4-5";
const GEMINI = process.env.GEMINI_MODEL ?? "gemini-2.5-flash";
const PNG =
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
const SCHEMA = {
  type: "object",
  properties: { city: { type: "string" } },
  required: ["city"],
  additionalProperties: false,
};

// A prompt that says how the simulator shall answer it.
const sim = (words, behaviour) => `${words} [[sim ${JSON.stringify(behaviour)}]]`;
const user = (content) => ({ role: "user", content });
const all = async (stream) => {
  const items = [];
  for await (const item of stream) items.push(item);
  return items;
};
const first = async (count, stream) => {
  let seen = 0;
  for await (const _ of stream) if (++seen === count) break;
  same(seen, count);
};

const gpt = () => new OpenAI({ maxRetries: 0 });
const claude = () => new Anthropic({ maxRetries: 0 });
const gemini = () => new GoogleGenAI({});
const chat = (content, more) =>
  gpt().chat.completions.create({ model: GPT, messages: [user(content)], ...more });
const askClaude = (content, more) =>
  claude().messages.create({ model: CLAUDE, max_tokens: 100, messages: [user(content)], ...more });
const streamClaude = (content, more) =>
  claude().messages.stream({ model: CLAUDE, max_tokens: 100, messages: [user(content)], ...more });
const askGemini = (contents, config) =>
  gemini().models.generateContent({ model: GEMINI, contents, config });
const streamGemini = (contents, config) =>
  gemini().models.generateContentStream({ model: GEMINI, contents, config });

const checks = {
  async openai_whole() {
    const answer = await chat(sim("hi", { text: "There.", input: 9, cached: 4, output: 5, reasoning: 2 }));
    same(answer.choices[0].message.content, "There.");
    same([answer.usage.prompt_tokens, answer.usage.completion_tokens], [13, 7]);
    same(answer.usage.prompt_tokens_details.cached_tokens, 4);
  },

  async openai_streamed() {
    const prompt = sim("hi", { text: "Grüße, Welt.", pieces: 6, input: 9, output: 5, split_at: 3 });
    const chunks = await all(await chat(prompt, { stream: true, stream_options: { include_usage: true } }));
    same(chunks.map((chunk) => chunk.choices[0]?.delta.content ?? "").join(""), "Grüße, Welt.");
    same(chunks.filter((chunk) => chunk.usage).map((chunk) => chunk.usage.total_tokens), [14]);
  },

  async openai_tools() {
    const tools = [{ type: "function", function: { name: "weather", parameters: SCHEMA } }];
    const messages = [user(sim("weather?", { tool: true, text: "Fine." }))];
    const { message } = (await chat("", { messages, tools })).choices[0];
    const [call] = message.tool_calls;
    same([call.function.name, JSON.parse(call.function.arguments)], ["weather", { city: "example" }]);
    const stream = gpt().chat.completions.stream({ model: GPT, messages, tools });
    const streamed = (await stream.finalChatCompletion()).choices[0];
    same(streamed.message.tool_calls[0].function.arguments, call.function.arguments);
    messages.push(message, { role: "tool", tool_call_id: call.id, content: "sunny" });
    same((await chat("", { messages, tools })).choices[0].message.content, "Fine.");
  },

  async openai_image() {
    const image = { type: "image_url", image_url: { url: `data:image/png;base64,${PNG}` } };
    const answer = await chat([{ type: "text", text: sim("what?", { text: "A dot." }) }, image]);
    same(answer.choices[0].message.content, "A dot.");
  },

  async openai_structured() {
    const json_schema = { name: "place", schema: SCHEMA, strict: true };
    const answer = await gpt().chat.completions.parse({
      model: GPT,
      messages: [user("a place")],
      response_format: { type: "json_schema", json_schema },
    });
    same(JSON.parse(answer.choices[0].message.content), { city: "example" });
  },

  async openai_embeddings() {
    const answer = await gpt().embeddings.create({ model: "text-embedding-3-small", input: ["one", "two"] });
    same(answer.data.map((entry) => entry.embedding.reduce((sum, number) => sum + number)), [1, 1]);
  },

  async openai_responses() {
    const input = sim("hi", { text: "There.", input: 9, output: 5, reasoning: 2 });
    const answer = await gpt().responses.create({ model: GPT, input });
    same([answer.output_text, answer.usage.total_tokens], ["There.", 16]);
    const last = await gpt().responses.stream({ model: GPT, input }).finalResponse();
    same([last.output_text, last.usage.total_tokens, last.status], ["There.", 16, "completed"]);
    same(last.output.map((item) => item.type), ["reasoning", "message"]);
  },

  async openai_responses_tools() {
    const tools = [{ type: "function", name: "weather", parameters: SCHEMA, strict: true }];
    const input = [user(sim("weather?", { tool: true, text: "Fine." }))];
    const stream = gpt().responses.stream({ model: GPT, input, tools });
    const [call] = (await stream.finalResponse()).output;
    same([call.name, JSON.parse(call.arguments)], ["weather", { city: "example" }]);
    const { type, name, call_id, arguments: args } = call;
    input.push({ type, name, call_id, arguments: args });
    input.push({ type: "function_call_output", call_id, output: "sunny" });
    same((await gpt().responses.create({ model: GPT, input, tools })).output_text, "Fine.");
  },

  async openai_models() {
    ok((await all(await gpt().models.list())).length > 0);
  },

  async openai_errors() {
    const failing = (status) => chat(sim("hi", { error: { status } }));
    await rejects(failing(400), OpenAI.BadRequestError);
    await rejects(failing(429), OpenAI.RateLimitError);
    await rejects(failing(500), OpenAI.InternalServerError);
    await rejects(async () => all(await chat(sim("hi", { error_after: 2 }), { stream: true })), OpenAI.APIError);
  },

  async openai_cancelled() {
    await first(3, await chat(sim("hi", { pieces: 1000, gap_ms: 20 }), { stream: true }));
  },

  async anthropic_whole() {
    const counts = { input: 9, cached: 4, cache_write_5m: 3, cache_write_1h: 2, output: 5 };
    const answer = await askClaude(sim("hi", { text: "There.", ...counts }));
    same([answer.content[0].text, answer.stop_reason], ["There.", "end_turn"]);
    const { usage } = answer;
    same([usage.input_tokens, usage.output_tokens, usage.cache_read_input_tokens], [9, 5, 4]);
    same(usage.cache_creation.ephemeral_1h_input_tokens, 2);
  },

  async anthropic_streamed() {
    const prompt = sim("hi", { text: "Grüße, Welt.", pieces: 6, input: 9, output: 5, split_at: 3 });
    const message = await streamClaude(prompt).finalMessage();
    same([message.content[0].text, message.usage.output_tokens], ["Grüße, Welt.", 5]);
  },

  async anthropic_thinking() {
    const thinking = { type: "enabled", budget_tokens: 1024 };
    const prompt = sim("hi", { thinking: "Hm, hm.", reasoning: 6, output: 5 });
    const message = await streamClaude(prompt, { max_tokens: 2000, thinking }).finalMessage();
    same(message.content.map((block) => block.type), ["thinking", "text"]);
    same([message.content[0].thinking, message.usage.output_tokens], ["Hm, hm.", 11]);
  },

  async anthropic_tools() {
    const tools = [{ name: "weather", input_schema: SCHEMA }];
    const messages = [user(sim("weather?", { tool: true, text: "Fine." }))];
    const message = await streamClaude("", { messages, tools }).finalMessage();
    const [call] = message.content;
    same([call.name, call.input, message.stop_reason], ["weather", { city: "example" }, "tool_use"]);
    const result = { type: "tool_result", tool_use_id: call.id, content: "sunny" };
    const { type, id, name, input } = call;
    messages.push({ role: "assistant", content: [{ type, id, name, input }] }, user([result]));
    same((await askClaude("", { messages, tools })).content[0].text, "Fine.");
  },

  async anthropic_image() {
    const source = { type: "base64", media_type: "image/png", data: PNG };
    const text = { type: "text", text: sim("what?", { text: "A dot." }) };
    same((await askClaude([{ type: "image", source }, text])).content[0].text, "A dot.");
  },

  async anthropic_structured() {
    const output_config = { format: { type: "json_schema", schema: SCHEMA } };
    const answer = await claude().messages.parse({
      model: CLAUDE,
      max_tokens: 100,
      messages: [user("a place")],
      output_config,
    });
    same(JSON.parse(answer.content[0].text), { city: "example" });
  },

  async anthropic_counted() {
    const messages = [user(sim("hi", { input: 12 }))];
    same((await claude().messages.countTokens({ model: CLAUDE, messages })).input_tokens, 12);
  },

  async anthropic_errors() {
    const failing = (status) => askClaude(sim("hi", { error: { status } }));
    await rejects(failing(400), Anthropic.BadRequestError);
    await rejects(failing(429), Anthropic.RateLimitError);
    await rejects(failing(500), Anthropic.InternalServerError);
    await rejects(failing(529), { status: 529 });
    await rejects(async () => all(await askClaude(sim("hi", { error_after: 3 }), { stream: true })), Anthropic.APIError);
  },

  async anthropic_cancelled() {
    await first(5, await askClaude(sim("hi", { pieces: 1000, gap_ms: 20 }), { stream: true }));
  },

  async google_whole() {
    const answer = await askGemini(sim("hi", { text: "There.", input: 9, cached: 4, output: 5, reasoning: 6 }));
    const usage = answer.usageMetadata;
    same(answer.text, "There.");
    same([usage.promptTokenCount, usage.candidatesTokenCount, usage.thoughtsTokenCount], [13, 5, 6]);
    same([usage.cachedContentTokenCount, usage.totalTokenCount], [4, 24]);
  },

  async google_streamed() {
    const prompt = sim("hi", { text: "Grüße, Welt.", pieces: 6, input: 9, output: 5, split_at: 3 });
    const chunks = await all(await streamGemini(prompt));
    same(chunks.map((chunk) => chunk.text ?? "").join(""), "Grüße, Welt.");
    same(chunks.at(-1).usageMetadata.totalTokenCount, 14);
  },

  async google_tools() {
    const config = { tools: [{ functionDeclarations: [{ name: "weather", parametersJsonSchema: SCHEMA }] }] };
    const asked = { role: "user", parts: [{ text: sim("weather?", { tool: true, text: "Fine." }) }] };
    const answer = await askGemini([asked], config);
    same([answer.functionCalls[0].name, answer.functionCalls[0].args], ["weather", { city: "example" }]);
    const result = { functionResponse: { name: "weather", response: { sky: "blue" } } };
    const turns = [asked, answer.candidates[0].content, { role: "user", parts: [result] }];
    same((await askGemini(turns, config)).text, "Fine.");
  },

  async google_image() {
    const image = { inlineData: { data: PNG, mimeType: "image/png" } };
    same((await askGemini([image, { text: sim("what?", { text: "A dot." }) }])).text, "A dot.");
  },

  async google_structured() {
    const config = { responseMimeType: "application/json", responseJsonSchema: SCHEMA };
    same(JSON.parse((await askGemini("a place", config)).text), { city: "example" });
  },

  async google_counted() {
    const counted = await gemini().models.countTokens({ model: GEMINI, contents: sim("hi", { input: 12 }) });
    same(counted.totalTokens, 12);
  },

  async google_embedded() {
    const asked = { model: "gemini-embedding-001", contents: ["one", "two"] };
    const answer = await gemini().models.embedContent(asked);
    same(answer.embeddings.map(({ values }) => values.reduce((sum, number) => sum + number)), [1, 1]);
  },

  async google_errors() {
    for (const status of [400, 429, 500]) {
      await rejects(askGemini(sim("hi", { error: { status } })), (error) => error instanceof ApiError && error.status === status);
    }
    await rejects(async () => all(await streamGemini(sim("hi", { error_after: 2 }))), ApiError);
  },

  async google_cancelled() {
    await first(3, await streamGemini(sim("hi", { pieces: 1000, gap_ms: 20 })));
  },
};

const chosen = process.argv.slice(2);
let failed = 0;
let ran = 0;
for (const [name, check] of Object.entries(checks)) {
  if (chosen.length > 0 && !chosen.includes(name)) continue;
  ran += 1;
  const said = { check: name, ok: true };
  try {
    await check();
  } catch (error) {
    failed += 1;
    const at = /with_node\.mjs:(\d+)/.exec(error.stack ?? "");
    Object.assign(said, { ok: false, line: Number(at?.[1]), why: `${error.name}: ${error.message}`.slice(0, 2000) });
  }
  console.log(JSON.stringify(said));
}
process.exit(failed > 0 || ran === 0 ? 1 : 0);
