// Asks the AI proxy for models of other providers with OpenAI's own SDK for Node, as a program would.
//
// Takes where to and which key from the SDK's own environment variables; NODE_SDKS is the folder of its package
// where it is not this one. Prints one line of JSON a check and model; ends with 1 if one failed. Names of checks
// as arguments choose among them.

import { deepStrictEqual as same, ok, rejects } from "node:assert";
import { createRequire } from "node:module";
import path from "node:path";

const sdk = createRequire(path.join(process.env.NODE_SDKS ?? import.meta.dirname, "package.json"));
const { default: OpenAI } = sdk("openai");

const MODELS = ["anthropic/claude-sonnet-4-5", "google/gemini-2.5-flash"];
const SCHEMA = {
  type: "object",
  properties: { city: { type: "string" } },
  required: ["city"],
  additionalProperties: false,
};
const TOOLS = [{ type: "function", name: "weather", parameters: SCHEMA, strict: true }];

// A prompt that says how the simulator shall answer it.
const sim = (words, behaviour) => `${words} [[sim ${JSON.stringify(behaviour)}]]`;
const user = (content) => ({ role: "user", content });
const all = async (stream) => {
  const items = [];
  for await (const item of stream) items.push(item);
  return items;
};
const gpt = () => new OpenAI({ maxRetries: 0 });

const checks = {
  async responses(model) {
    const input = sim("hi", { text: "There.", input: 9, cached: 4, output: 5 });
    const answer = await gpt().responses.create({ model, input });
    same([answer.output_text, answer.status, answer.usage.total_tokens], ["There.", "completed", 18]);
    ok(answer.usage.cost_micro > 0);
  },

  async responses_streamed(model) {
    const input = sim("hi", { text: "Grüße, Welt.", pieces: 6, input: 9, output: 5, split_at: 3 });
    const events = await all(await gpt().responses.create({ model, input, stream: true }));
    same(events.map((event) => event.sequence_number), [...events.keys()]);
    const last = events.at(-1);
    same([last.type, last.response.usage.total_tokens], ["response.completed", 14]);
    ok(last.response.usage.cost_micro > 0);
    const helped = await gpt().responses.stream({ model, input }).finalResponse();
    same([helped.output_text, helped.status], ["Grüße, Welt.", "completed"]);
  },

  async responses_tools(model) {
    const input = [user(sim("weather?", { tool: true, text: "Fine." }))];
    const whole = await gpt().responses.create({ model, input, tools: TOOLS });
    const streamed = await gpt().responses.stream({ model, input, tools: TOOLS }).finalResponse();
    for (const { output } of [whole, streamed]) {
      const [call] = output;
      same([call.type, call.name, JSON.parse(call.arguments)], ["function_call", "weather", { city: "example" }]);
      const result = { type: "function_call_output", call_id: call.call_id, output: "sunny" };
      const again = await gpt().responses.create({ model, input: [...input, ...output, result], tools: TOOLS });
      same(again.output_text, "Fine.");
    }
  },

  async responses_structured(model) {
    const format = { type: "json_schema", name: "place", schema: SCHEMA, strict: true };
    const answer = await gpt().responses.parse({ model, input: "a place", text: { format } });
    same(answer.output_parsed, { city: "example" });
  },

  async responses_limit(model) {
    const input = sim("hi", { output: 50 });
    const answer = await gpt().responses.create({ model, input, max_output_tokens: 20 });
    same([answer.status, answer.incomplete_details.reason], ["incomplete", "max_output_tokens"]);
  },

  async responses_errors(model) {
    const ask = (input, more) => gpt().responses.create({ model, input, ...more });
    await rejects(ask("hi", { conversation: "conv_1" }), OpenAI.BadRequestError);
    await rejects(ask(sim("hi", { error: { status: 500 } })), OpenAI.InternalServerError);
    const input = sim("hi", { error_after: 2, pieces: 4 });
    await rejects(async () => all(await ask(input, { stream: true })), OpenAI.APIError);
    await rejects(gpt().responses.stream({ model, input }).finalResponse(), OpenAI.APIError);
  },

  async completions(model) {
    const ask = (more) => gpt().completions.create({ model, prompt: sim("hi", { text: "There." }), ...more });
    same((await ask()).choices[0].text, "There.");
    same((await all(await ask({ stream: true }))).map((chunk) => chunk.choices[0].text).join(""), "There.");
  },
};

const chosen = process.argv.slice(2);
let failed = 0;
let ran = 0;
for (const [name, check] of Object.entries(checks)) {
  if (chosen.length > 0 && !chosen.includes(name)) continue;
  for (const model of MODELS) {
    ran += 1;
    const said = { check: name, model, ok: true };
    try {
      await check(model);
    } catch (error) {
      failed += 1;
      const at = /gateway\.mjs:(\d+)/.exec(error.stack ?? "");
      Object.assign(said, { ok: false, line: Number(at?.[1]), why: `${error.name}: ${error.message}`.slice(0, 2000) });
    }
    console.log(JSON.stringify(said));
  }
}
process.exit(failed > 0 || ran === 0 ? 1 : 0);
