"""One question to the server with one of Python's clients; prints the answer. Usage: clients.py CHECK SERVER MODEL-OR-RECORDING"""

import sys

import ollama
import openai

PROMPT = "What is the capital of France? Answer in one short sentence."
MESSAGES = [{"role": "user", "content": PROMPT}]
# Enough for that answer, and few enough for two busy cores.
MAX_TOKENS = 24


def openai_chat(server: str, model: str) -> str:
    client = openai.OpenAI(base_url=f"{server}/v1", api_key="none", max_retries=0)
    answer = client.chat.completions.create(model=model, messages=MESSAGES, temperature=0, max_tokens=MAX_TOKENS)
    assert answer.usage.completion_tokens > 0, answer.usage
    return answer.choices[0].message.content


def openai_stream(server: str, model: str) -> str:
    client = openai.OpenAI(base_url=f"{server}/v1", api_key="none", max_retries=0)
    text, usage = "", None
    for chunk in client.chat.completions.create(
        model=model, messages=MESSAGES, temperature=0, max_tokens=MAX_TOKENS,
        stream=True, stream_options={"include_usage": True},
    ):
        usage = chunk.usage or usage
        text += "".join(choice.delta.content or "" for choice in chunk.choices)
    assert usage is not None and usage.completion_tokens > 0, usage
    return text


def ollama_chat(server: str, model: str) -> str:
    answer = ollama.Client(host=server).chat(
        model=model, messages=MESSAGES, options={"temperature": 0, "num_predict": MAX_TOKENS}
    )
    assert answer.done, answer
    return answer.message.content


def ollama_stream(server: str, model: str) -> str:
    parts = list(
        ollama.Client(host=server).chat(
            model=model, messages=MESSAGES, stream=True, options={"temperature": 0, "num_predict": MAX_TOKENS}
        )
    )
    assert [part.done for part in parts] == [False] * (len(parts) - 1) + [True], parts
    return "".join(part.message.content for part in parts)


def openai_transcription(server: str, recording: str) -> str:
    client = openai.OpenAI(base_url=f"{server}/v1", api_key="none", max_retries=0)
    with open(recording, "rb") as file:
        said = client.audio.transcriptions.create(
            file=file, model="whisper-1", response_format="verbose_json", timestamp_granularities=["word", "segment"]
        )
    assert said.words and said.segments and said.segments[-1].end <= said.duration, said
    return said.text


if __name__ == "__main__":
    check, server, subject = sys.argv[1:]
    checks = (openai_chat, openai_stream, ollama_chat, ollama_stream, openai_transcription)
    print({f.__name__: f for f in checks}[check](server, subject))
