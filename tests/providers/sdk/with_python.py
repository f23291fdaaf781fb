"""Uses the AI providers with their own Python SDKs, as a program would, and checks what it gets.

Takes where to and which keys from the SDKs' own environment variables alone, so that it runs beside the
simulator and in a workspace. Prints one line of JSON a check; ends with 1 if one failed. Names of checks
as arguments choose among them.
"""

import base64
import functools
import json
import os
import sys
import traceback

import anthropic
import openai
from google import genai
from google.genai import errors as failures
from google.genai import types as google
from pydantic import BaseModel

GPT = os.environ.get("OPENAI_MODEL", "gpt-4.1-mini")
EMBEDDING = os.environ.get("OPENAI_EMBEDDING_MODEL", "text-embedding-3-small")
CLAUDE = os.environ.get("ANTHROPIC_MODEL", "claude-haiku-4-5")
GEMINI = os.environ.get("GEMINI_MODEL", "gemini-2.5-flash")
PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
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


def raises(kind, call, status=None):
    try:
        call()
    except kind as error:
        if status is not None:
            same(getattr(error, "status_code", None) or getattr(error, "code", None), status)
        return error
    raise AssertionError(f"{kind.__name__} was not raised")


# OpenAI


def gpt():
    return openai.OpenAI(max_retries=0, timeout=30)


def chat(prompt, **options):
    messages = [{"role": "user", "content": prompt}]
    return gpt().chat.completions.create(model=GPT, messages=messages, **options)


@check
def openai_whole():
    answer = chat(sim("hi", text="There.", input=9, cached=4, output=5, reasoning=2))
    same(answer.choices[0].message.content, "There.")
    same(answer.choices[0].finish_reason, "stop")
    usage = answer.usage
    same((usage.prompt_tokens, usage.completion_tokens, usage.total_tokens), (13, 7, 20))
    same(usage.prompt_tokens_details.cached_tokens, 4)
    same(usage.completion_tokens_details.reasoning_tokens, 2)


@check
def openai_streamed():
    prompt = sim("hi", text="Grüße, Welt.", pieces=6, input=9, output=5, split_at=3)
    chunks = list(chat(prompt, stream=True, stream_options={"include_usage": True}))
    words = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
    same("".join(words), "Grüße, Welt.")
    same([chunk.usage.total_tokens for chunk in chunks if chunk.usage], [14])


@check
def openai_streamed_without_usage():
    same([chunk.usage for chunk in chat(sim("hi"), stream=True) if chunk.usage], [])


@check
def openai_tools():
    function = {"name": "weather", "description": "d", "parameters": SCHEMA}
    tools = [{"type": "function", "function": function}]
    messages = [{"role": "user", "content": sim("weather?", tool=True, text="Fine.")}]
    ask = lambda **more: gpt().chat.completions.create(model=GPT, messages=messages, tools=tools, **more)
    message = ask().choices[0].message
    call = message.tool_calls[0]
    same((call.function.name, json.loads(call.function.arguments)), ("weather", {"city": "example"}))
    with gpt().chat.completions.stream(model=GPT, messages=messages, tools=tools) as stream:
        streamed = stream.get_final_completion().choices[0]
    same(streamed.message.tool_calls[0].function.arguments, call.function.arguments)
    same(streamed.finish_reason, "tool_calls")
    messages += [message, {"role": "tool", "tool_call_id": call.id, "content": "sunny"}]
    same(ask().choices[0].message.content, "Fine.")


@check
def openai_image():
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
    answer = chat([{"type": "text", "text": sim("what?", text="A dot.")}, image])
    same(answer.choices[0].message.content, "A dot.")


@check
def openai_structured():
    messages = [{"role": "user", "content": "a place"}]
    answer = gpt().chat.completions.parse(model=GPT, messages=messages, response_format=Place)
    same(answer.choices[0].message.parsed, Place(name="example", people=7))


@check
def openai_limit():
    answer = chat(sim("hi", output=50), max_tokens=20)
    same((answer.choices[0].finish_reason, answer.usage.completion_tokens), ("length", 20))


@check
def openai_completions():
    ask = lambda **more: gpt().completions.create(model=GPT, prompt=sim("hi", text="There."), **more)
    same(ask().choices[0].text, "There.")
    same("".join(part.choices[0].text for part in ask(stream=True)), "There.")


@check
def openai_embeddings():
    answer = gpt().embeddings.create(model=EMBEDDING, input=["one", "two"])
    same([sum(entry.embedding) for entry in answer.data], [1.0, 1.0])
    assert answer.usage.prompt_tokens > 0


@check
def openai_responses():
    prompt = sim("hi", text="There.", input=9, output=5, reasoning=2, thinking="Hm.")
    answer = gpt().responses.create(model=GPT, input=prompt)
    same((answer.output_text, answer.status), ("There.", "completed"))
    same((answer.usage.input_tokens, answer.usage.output_tokens), (9, 7))
    with gpt().responses.stream(model=GPT, input=prompt) as stream:
        events = list(stream)
        last = stream.get_final_response()
    same((last.output_text, last.usage.total_tokens), ("There.", 16))
    same([item.type for item in last.output], ["reasoning", "message"])
    same([event.sequence_number for event in events if hasattr(event, "sequence_number")][:3], [0, 1, 2])


@check
def openai_responses_tools():
    tools = [{"type": "function", "name": "weather", "parameters": SCHEMA, "strict": False}]
    asked = [{"role": "user", "content": sim("weather?", tool=True, text="Fine.", web_searches=1)}]
    answer = gpt().responses.create(model=GPT, input=asked, tools=tools)
    same([item.type for item in answer.output], ["web_search_call", "function_call"])
    with gpt().responses.stream(model=GPT, input=asked, tools=tools) as stream:
        same(stream.get_final_response().output[1].arguments, answer.output[1].arguments)
    call = answer.output[1]
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}
    same(gpt().responses.create(model=GPT, input=[*asked, call, result], tools=tools).output_text, "Fine.")


@check
def openai_responses_structured():
    answer = gpt().responses.parse(model=GPT, input="a place", text_format=Place)
    same(answer.output_parsed, Place(name="example", people=7))


@check
def openai_models():
    assert len(list(gpt().models.list())) > 0


@check
def openai_errors():
    def failing(status, **more):
        return lambda: chat(sim("hi", error={"status": status, **more}))

    raises(openai.BadRequestError, failing(400), 400)
    raises(openai.RateLimitError, failing(429, retry_after=1), 429)
    raises(openai.InternalServerError, failing(500), 500)
    raises(openai.APIError, lambda: list(chat(sim("hi", error_after=2), stream=True)))


@check
def openai_retries():
    """As the SDK itself does it, and whoever is between."""
    prompt = sim("hi", fail_first=1, error={"status": 503}, series=f"py-{os.getpid()}", text="There.")
    messages = [{"role": "user", "content": prompt}]
    answer = openai.OpenAI(max_retries=2).chat.completions.create(model=GPT, messages=messages)
    same(answer.choices[0].message.content, "There.")


@check
def openai_cancelled():
    with chat(sim("hi", pieces=1000, gap_ms=20), stream=True) as stream:
        for at, _ in zip(range(3), stream):
            same(at < 3, True)


# Anthropic


def claude():
    return anthropic.Anthropic(max_retries=0, timeout=30)


def ask_claude(content, **options):
    options = {"max_tokens": 100, "messages": [{"role": "user", "content": content}], **options}
    return claude().messages.create(model=CLAUDE, **options)


@check
def anthropic_whole():
    counts = {"input": 9, "cached": 4, "cache_write_5m": 3, "cache_write_1h": 2, "output": 5}
    answer = ask_claude(sim("hi", text="There.", **counts))
    same((answer.content[0].text, answer.stop_reason), ("There.", "end_turn"))
    usage = answer.usage
    same((usage.input_tokens, usage.output_tokens), (9, 5))
    same((usage.cache_read_input_tokens, usage.cache_creation_input_tokens), (4, 5))
    same(usage.cache_creation.ephemeral_1h_input_tokens, 2)


@check
def anthropic_streamed():
    prompt = sim("hi", text="Grüße, Welt.", pieces=6, input=9, output=5, split_at=3)
    messages = [{"role": "user", "content": prompt}]
    with claude().messages.stream(model=CLAUDE, max_tokens=100, messages=messages) as stream:
        same("".join(stream.text_stream), "Grüße, Welt.")
        usage = stream.get_final_message().usage
    same((usage.input_tokens, usage.output_tokens), (9, 5))


@check
def anthropic_thinking():
    prompt = sim("hi", text="There.", thinking="Hm, hm.", reasoning=6, output=5)
    with claude().messages.stream(
        model=CLAUDE,
        max_tokens=2000,
        thinking={"type": "enabled", "budget_tokens": 1024},
        messages=[{"role": "user", "content": prompt}],
    ) as stream:
        message = stream.get_final_message()
    same([block.type for block in message.content], ["thinking", "text"])
    same((message.content[0].thinking, message.usage.output_tokens), ("Hm, hm.", 11))
    assert message.content[0].signature


@check
def anthropic_tools():
    tools = [{"name": "weather", "description": "d", "input_schema": SCHEMA}]
    messages = [{"role": "user", "content": sim("weather?", tool=True, text="Fine.")}]
    answer = ask_claude("", messages=messages, tools=tools)
    call = answer.content[0]
    same((answer.stop_reason, call.name, call.input), ("tool_use", "weather", {"city": "example"}))
    with claude().messages.stream(model=CLAUDE, max_tokens=100, messages=messages, tools=tools) as stream:
        same(stream.get_final_message().content[0].input, call.input)
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "sunny"}
    messages += [{"role": "assistant", "content": answer.content}, {"role": "user", "content": [result]}]
    same(ask_claude("", messages=messages, tools=tools).content[0].text, "Fine.")


@check
def anthropic_search():
    tools = [{"type": "web_search_20250305", "name": "web_search"}]
    answer = ask_claude(sim("hi", web_searches=2), tools=tools)
    same(answer.usage.server_tool_use.web_search_requests, 2)
    kinds = ["server_tool_use", "web_search_tool_result"]
    same([block.type for block in answer.content], [*kinds, *kinds, "text"])


@check
def anthropic_image():
    source = {"type": "base64", "media_type": "image/png", "data": PNG}
    content = [{"type": "image", "source": source}, {"type": "text", "text": sim("what?", text="A dot.")}]
    same(ask_claude(content).content[0].text, "A dot.")


@check
def anthropic_structured():
    messages = [{"role": "user", "content": "a place"}]
    answer = claude().messages.parse(model=CLAUDE, max_tokens=100, messages=messages, output_format=Place)
    same(answer.parsed_output, Place(name="example", people=7))


@check
def anthropic_counted():
    messages = [{"role": "user", "content": sim("hi", input=12)}]
    same(claude().messages.count_tokens(model=CLAUDE, messages=messages).input_tokens, 12)


@check
def anthropic_models():
    assert len(list(claude().models.list())) > 0


@check
def anthropic_errors():
    def failing(status, **more):
        return lambda: ask_claude(sim("hi", error={"status": status, **more}))

    raises(anthropic.BadRequestError, failing(400), 400)
    raises(anthropic.RateLimitError, failing(429, retry_after=1), 429)
    raises(anthropic.InternalServerError, failing(500), 500)
    overloaded = raises(anthropic.APIStatusError, failing(529), 529)
    same(overloaded.body["error"]["type"], "overloaded_error")
    raises(anthropic.APIStatusError, lambda: list(ask_claude(sim("hi", error_after=3), stream=True)))


@check
def anthropic_cancelled():
    with ask_claude(sim("hi", pieces=1000, gap_ms=20), stream=True) as stream:
        for at, _ in zip(range(5), stream):
            same(at < 5, True)


# Google


@functools.cache
def gemini():
    """One for all: it closes what it still reads from when it is forgotten."""
    return genai.Client()


def ask_gemini(contents, stream=False, **config):
    models = gemini().models
    ask = models.generate_content_stream if stream else models.generate_content
    return ask(model=GEMINI, contents=contents, config=google.GenerateContentConfig(**config))


@check
def google_whole():
    answer = ask_gemini(sim("hi", text="There.", input=9, cached=4, output=5, reasoning=6))
    same((answer.text, answer.candidates[0].finish_reason.name), ("There.", "STOP"))
    usage = answer.usage_metadata
    same((usage.prompt_token_count, usage.candidates_token_count), (13, 5))
    same((usage.thoughts_token_count, usage.total_token_count), (6, 24))
    same(usage.cached_content_token_count, 4)


@check
def google_streamed():
    prompt = sim("hi", text="Grüße, Welt.", pieces=6, input=9, output=5, split_at=3)
    chunks = list(ask_gemini(prompt, stream=True))
    same("".join(chunk.text or "" for chunk in chunks), "Grüße, Welt.")
    same(chunks[-1].usage_metadata.total_token_count, 14)
    assert all(chunk.usage_metadata for chunk in chunks)


@check
def google_tools():
    function = google.FunctionDeclaration(name="weather", parameters_json_schema=SCHEMA)
    tools = {"tools": [google.Tool(function_declarations=[function])]}
    asked = google.Content(role="user", parts=[google.Part(text=sim("weather?", tool=True, text="Fine."))])
    answer = ask_gemini([asked], **tools)
    call = answer.function_calls[0]
    same((call.name, call.args), ("weather", {"city": "example"}))
    streamed = [chunk.function_calls for chunk in ask_gemini([asked], stream=True, **tools)]
    same([calls[0].name for calls in streamed if calls], ["weather"])
    result = google.Part.from_function_response(name="weather", response={"sky": "blue"})
    turns = [asked, answer.candidates[0].content, google.Content(role="user", parts=[result])]
    same(ask_gemini(turns, **tools).text, "Fine.")


@check
def google_image():
    image = google.Part.from_bytes(data=base64.b64decode(PNG), mime_type="image/png")
    same(ask_gemini([image, sim("what?", text="A dot.")]).text, "A dot.")


@check
def google_structured():
    answer = ask_gemini("a place", response_mime_type="application/json", response_schema=Place)
    same(answer.parsed, Place(name="example", people=7))


@check
def google_thinking():
    thinking = google.ThinkingConfig(include_thoughts=True)
    prompt = sim("hi", thinking="Hm.", reasoning=6, text="There.")
    answer = ask_gemini(prompt, thinking_config=thinking)
    same([bool(part.thought) for part in answer.candidates[0].content.parts], [True, False])
    same(answer.text, "There.")


@check
def google_grounded():
    tools = [google.Tool(google_search=google.GoogleSearch())]
    answer = ask_gemini(sim("hi", web_searches=2), tools=tools)
    same(len(answer.candidates[0].grounding_metadata.web_search_queries), 2)


@check
def google_counted():
    same(gemini().models.count_tokens(model=GEMINI, contents=sim("hi", input=12)).total_tokens, 12)


@check
def google_embedded():
    answer = gemini().models.embed_content(model="gemini-embedding-001", contents=["one", "two"])
    same([sum(entry.values) for entry in answer.embeddings], [1.0, 1.0])


@check
def google_errors():
    def failing(status):
        return lambda: ask_gemini(sim("hi", error={"status": status}))

    raises(failures.ClientError, failing(400), 400)
    raises(failures.ClientError, failing(429), 429)
    raises(failures.ServerError, failing(500), 500)
    raises(failures.APIError, lambda: list(ask_gemini(sim("hi", error_after=2), stream=True)))


@check
def google_cancelled():
    stream = ask_gemini(sim("hi", pieces=1000, gap_ms=20), stream=True)
    for at, _ in zip(range(3), stream):
        same(at < 3, True)
    stream.close()


def main():
    chosen = [function for function in CHECKS if not sys.argv[1:] or function.__name__ in sys.argv[1:]]
    failed = False
    for function in chosen:
        said = {"check": function.__name__, "ok": True}
        try:
            function()
        except Exception as error:
            failed = True
            at = traceback.extract_tb(error.__traceback__)
            line = [frame.lineno for frame in at if frame.filename == __file__][-1]
            said.update(ok=False, line=line, why=f"{type(error).__name__}: {error}"[:2000])
        print(json.dumps(said), flush=True)
    sys.exit(1 if failed or not chosen else 0)


main()
