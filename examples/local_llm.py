"""A model on your own machine, and nothing that leaves it: Ollama, vLLM or llama.cpp answer, and take messages down.

    ollama pull llama3.2                                   # then it is at http://127.0.0.1:11434/v1
    vllm serve Qwen/Qwen3-8B --enable-auto-tool-choice --tool-call-parser hermes          # http://127.0.0.1:8000/v1
    llama-server --jinja -m model.gguf                     # http://127.0.0.1:8080/v1

    pip install 'voiceframe[openai]'
    LLM_URL=http://127.0.0.1:11434/v1 LLM_MODEL=llama3.2 voiceframe chat examples/local_llm.py

The model must be able to call tools. `voiceframe chat --llm-url URL` tries one without a bot.
"""

import asyncio
import os
from pathlib import Path

from voiceframe import Agent, Call, Pipeline
from voiceframe.processors.agents import AgentSettings
from voiceframe.provider import Place
from voiceframe.providers import LLMSettings, OpenAI
from voiceframe.tools import ToolContext, hang_up, tool

INSTRUCTIONS = """\
You answer the telephone of Smith and Sons, plumbers, while they are out. Ask what is wrong, where, and when somebody
may come; then take the message down. Say that they call back today. Write one or two short sentences, no lists. When
all is said, hang up.
"""


@tool(timeout_ms=3_000)
async def take_message(ctx: ToolContext, problem: str, address: str, when: str) -> str:
    """Take a message down for the plumbers.

    problem: what is wrong, in a sentence.
    address: street, number and town.
    when: when somebody may come.
    """
    line = f"{ctx.call.from_ or 'unknown'}: {problem} {address}, {when}\n"
    await asyncio.to_thread(append, Path("messages.txt"), line)  # no call waits for the disk
    return "taken down"


def append(path: Path, line: str) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(line)


model = OpenAI(
    os.environ.get("LLM_MODEL", "llama3.2"),
    place=Place(os.environ.get("LLM_URL", "http://127.0.0.1:11434/v1")),
    settings=LLMSettings(first_ms=30_000),  # the first answer waits until the model is loaded
)


def bot(call: Call) -> Pipeline:
    agent = Agent(
        "plumbers",
        INSTRUCTIONS,
        model,
        tools=[take_message, hang_up],
        greeting="Smith and Sons, plumbers. What can we do for you?",
        settings=AgentSettings(context_tokens=4_000, parallel_tools=False),  # small models have little room
    )
    return Pipeline([call.transport.input(), agent, call.transport.output()])
