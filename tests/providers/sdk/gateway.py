"""Asks the AI proxy for models of other providers with OpenAI's own Python SDK, as a program would.

Takes where to and which key from the SDK's own environment variables. Prints one line of JSON a check and
model; ends with 1 if one failed. Names of checks as arguments choose among them.
"""

import json
import sys
import traceback

import openai
from openai.types.responses import Response
from pydantic import BaseModel

MODELS = ["anthropic/claude-sonnet-4-5", "google/gemini-2.5-flash"]
PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
TOOLS = [{"type": "function", "name": "weather", "description": "d", "parameters": SCHEMA, "strict": True}]
CHECKS = []


class Place(BaseModel):
    name: str
    people: int


def check(function):
    CHECKS.append(function)
    return function


def sim(words, **behaviour):
    """A prompt that says how the simulator shall answer it."""
    return f"{words} [[sim {json.dumps(behaviour)}]]"


def same(got, expected):
    assert got == expected, f"{got!r} is not {expected!r}"


def raises(kind, call):
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"{kind.__name__} was not raised")


def gpt():
    return openai.OpenAI(max_retries=0, timeout=30)


def is_valid(response):
    """The SDK takes what it gets as it is: here all of it must be what its types say."""
    Response.model_validate(json.loads(response.to_json()), strict=False)


@check
def responses(model):
    prompt = sim("hi", text="Grüße, Welt.", input=9, cached=4, output=5)
    answer = gpt().responses.create(model=model, input=prompt, instructions="be kind", max_output_tokens=200)
    same((answer.output_text, answer.status, answer.model), ("Grüße, Welt.", "completed", model))
    same((answer.usage.input_tokens, answer.usage.output_tokens, answer.usage.total_tokens), (13, 5, 18))
    same(answer.usage.input_tokens_details.cached_tokens, 4)
    same((answer.instructions, answer.max_output_tokens, answer.store), ("be kind", 200, False))
    assert answer.usage.cost_micro > 0
    assert answer.id.startswith("resp_")
    is_valid(answer)


@check
def responses_streamed(model):
    prompt = sim("hi", text="Grüße, Welt.", pieces=6, input=9, output=5, split_at=3)
    events = list(gpt().responses.create(model=model, input=prompt, stream=True))
    same([event.sequence_number for event in events], list(range(len(events))))
    kinds = [event.type.removeprefix("response.") for event in events]
    same(kinds[:4], ["created", "in_progress", "output_item.added", "content_part.added"])
    ends = ["output_text.done", "content_part.done", "output_item.done", "completed"]
    same(kinds[-4:], ends)
    words = [event.delta for event in events if event.type == "response.output_text.delta"]
    same("".join(words), "Grüße, Welt.")
    assert len(words) > 1
    last = events[-1].response
    same((last.output_text, last.usage.total_tokens), ("Grüße, Welt.", 14))
    assert last.usage.cost_micro > 0
    for event in events:
        type(event).model_validate(json.loads(event.to_json()))


@check
def responses_stream_helper(model):
    prompt = sim("hi", text="There.", pieces=3)
    with gpt().responses.stream(model=model, input=prompt) as stream:
        snapshots = [event.snapshot for event in stream if event.type == "response.output_text.delta"]
        last = stream.get_final_response()
    same((snapshots[-1], last.output_text, last.status), ("There.", "There.", "completed"))


@check
def responses_tools(model):
    asked = [{"role": "user", "content": sim("weather?", tool=True, text="Fine.")}]
    answer = gpt().responses.create(model=model, input=asked, tools=TOOLS)
    same([item.type for item in answer.output], ["function_call"])
    is_valid(answer)
    [call] = answer.output
    same((call.name, json.loads(call.arguments)), ("weather", {"city": "example"}))
    with gpt().responses.stream(model=model, input=asked, tools=TOOLS) as stream:
        deltas = [event for event in stream if event.type == "response.function_call_arguments.delta"]
        [streamed] = stream.get_final_response().output
    same(json.loads("".join(event.delta for event in deltas)), {"city": "example"})
    same((streamed.name, json.loads(streamed.arguments)), ("weather", {"city": "example"}))
    for call in (call, streamed):
        result = {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}
        again = gpt().responses.create(model=model, input=[*asked, call, result], tools=TOOLS)
        same(again.output_text, "Fine.")
        # What was answered, with another question behind it.
        more = [*asked, call, result, *again.output, {"role": "user", "content": sim("so?", text="So.")}]
        same(gpt().responses.create(model=model, input=more, tools=TOOLS).output_text, "So.")


@check
def responses_tool_choice(model):
    choice = {"type": "function", "name": "weather"}
    answer = gpt().responses.create(model=model, input=sim("hi", tool=True), tools=TOOLS, tool_choice=choice)
    same((answer.output[0].type, answer.tool_choice.name), ("function_call", "weather"))
    same(answer.tools[0].parameters, SCHEMA)


@check
def responses_structured(model):
    answer = gpt().responses.parse(model=model, input="a place", text_format=Place)
    same(answer.output_parsed, Place(name="example", people=7))
    with gpt().responses.stream(model=model, input="a place", text_format=Place) as stream:
        same(stream.get_final_response().output_parsed, Place(name="example", people=7))
    items = [{"role": "user", "content": "a place"}, *answer.output, {"role": "user", "content": "more"}]
    same(gpt().responses.parse(model=model, input=items, text_format=Place).output_parsed.people, 7)


@check
def responses_image(model):
    image = {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}", "detail": "auto"}
    content = [{"type": "input_text", "text": sim("what?", text="A dot.")}, image]
    answer = gpt().responses.create(model=model, input=[{"role": "user", "content": content}])
    same(answer.output_text, "A dot.")


@check
def responses_limit(model):
    prompt = sim("hi", output=50)
    answer = gpt().responses.create(model=model, input=prompt, max_output_tokens=20)
    same((answer.status, answer.incomplete_details.reason), ("incomplete", "max_output_tokens"))
    same(answer.usage.output_tokens, 20)
    is_valid(answer)
    last = list(gpt().responses.create(model=model, input=prompt, max_output_tokens=20, stream=True))[-1]
    same((last.type, last.response.usage.output_tokens), ("response.incomplete", 20))


@check
def responses_errors(model):
    ask = lambda prompt="hi", **more: gpt().responses.create(model=model, input=prompt, **more)
    raises(openai.BadRequestError, lambda: ask(previous_response_id="resp_1"))
    raises(openai.BadRequestError, lambda: ask(tools=[{"type": "custom", "name": "x"}]))
    raises(openai.InternalServerError, lambda: ask(sim("hi", error={"status": 500})))
    events = []
    failing = sim("hi", error_after=2, pieces=4)
    error = raises(openai.APIError, lambda: events.extend(iter_into(ask(failing, stream=True), events)))
    assert error.message
    same(events[-1].type, "response.failed")
    same(events[-1].response.error.code, "server_error")


def iter_into(stream, events):
    """Keeps what came before an error."""
    for event in stream:
        events.append(event)
    return []


@check
def completions(model):
    ask = lambda **more: gpt().completions.create(model=model, prompt=sim("hi", text="There.", output=5), **more)
    answer = ask(max_tokens=50)
    same((answer.choices[0].text, answer.choices[0].finish_reason), ("There.", "stop"))
    same((answer.object, answer.usage.completion_tokens), ("text_completion", 5))
    assert answer.usage.cost_micro > 0
    chunks = list(ask(stream=True, stream_options={"include_usage": True}))
    same("".join(chunk.choices[0].text for chunk in chunks if chunk.choices), "There.")
    same([chunk.usage.completion_tokens for chunk in chunks if chunk.usage], [5])
    same(chunks[-2].choices[0].finish_reason, "stop")
    raises(openai.BadRequestError, lambda: ask(echo=True))


def main():
    chosen = [function for function in CHECKS if not sys.argv[1:] or function.__name__ in sys.argv[1:]]
    failed = False
    for function, model in [(function, model) for function in chosen for model in MODELS]:
        said = {"check": function.__name__, "model": model, "ok": True}
        try:
            function(model)
        except Exception as error:
            failed = True
            at = traceback.extract_tb(error.__traceback__)
            line = [frame.lineno for frame in at if frame.filename == __file__][-1]
            said.update(ok=False, line=line, why=f"{type(error).__name__}: {error}"[:2000])
        print(json.dumps(said), flush=True)
    sys.exit(1 if failed or not chosen else 0)


main()
