"""One conversation with Anthropic's client; ends with 0 if it went as it should. Usage: anthropic_client.py CHECK SERVER MODEL"""

import sys

import anthropic

MESSAGES = [{"role": "user", "content": "Hello?"}]
TOOLS = [{"name": "weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}]


def chat(client: anthropic.Anthropic, model: str) -> None:
    message = client.messages.create(model=model, max_tokens=64, messages=MESSAGES)
    assert message.stop_reason == "end_turn", message
    assert [block.text for block in message.content] == ["Hello there."], message
    assert message.usage.output_tokens > 0, message


def stream(client: anthropic.Anthropic, model: str) -> None:
    with client.messages.stream(model=model, max_tokens=64, messages=MESSAGES) as events:
        text = "".join(events.text_stream)
        message = events.get_final_message()
    assert text == "Hello there.", text
    assert message.stop_reason == "end_turn" and message.usage.output_tokens > 0, message


def tools(client: anthropic.Anthropic, model: str) -> None:
    with client.messages.stream(model=model, max_tokens=64, messages=MESSAGES, tools=TOOLS) as events:
        message = events.get_final_message()
    calls = [(block.name, block.input["city"]) for block in message.content if block.type == "tool_use"]
    assert calls == [("weather", "Rome"), ("weather", "Oslo")], message
    assert message.stop_reason == "tool_use", message


def count(client: anthropic.Anthropic, model: str) -> None:
    assert client.messages.count_tokens(model=model, messages=MESSAGES).input_tokens == 7


def bad_request(client: anthropic.Anthropic, model: str) -> None:
    try:
        # This version of the client knows no temperature; a server does.
        client.messages.create(model=model, max_tokens=64, messages=MESSAGES, extra_body={"temperature": 7})
    except anthropic.BadRequestError as error:
        assert error.body["error"]["type"] == "invalid_request_error", error.body
        assert "temperature" in error.body["error"]["message"], error.body
    else:
        raise AssertionError("a temperature of 7 was taken")


if __name__ == "__main__":
    check, server, model = sys.argv[1:]
    client = anthropic.Anthropic(base_url=server, api_key="none", max_retries=0)
    {f.__name__: f for f in (chat, stream, tools, count, bad_request)}[check](client, model)
