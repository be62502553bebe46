"""The openai package's clients against what the tests of our own clients ask for, on small servers that fail on demand.

Each row of the table is one demand. The package is tried with the settings that serve the demand best. Run in the
peer's environment, which `PEERS=openai benchmarks/peers/install.sh` makes (seconds; no model, no network):

    PYTHONPATH=. .peers/openai/bin/python benchmarks/peers/openai_client.py
"""

# pyright: reportMissingImports=false
# (the peer lives in a virtual environment of its own)

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from importlib.metadata import distributions, version
from types import SimpleNamespace
from typing import Any

import openai
from openai import _base_client as internals
from tests.annotators.fake_judge import FakeJudge, with_log_probs
from tests.server.work.fake_model import FakeModel

MESSAGES: list[Any] = [{"role": "user", "content": "Hi"}]
KEY = "sk-123"
Outcome = tuple[bool, str]  # whether the package gives what is asked for, and what was seen


def address_of(server: FakeJudge | FakeModel) -> str:
    return f"http://127.0.0.1:{server.server.server_address[1]}/v1"


def settings(server: FakeJudge | FakeModel, **changes: Any) -> dict[str, Any]:
    return {"base_url": address_of(server), "api_key": KEY, "max_retries": 0, "timeout": 0.5} | changes


def ask(server: FakeJudge, **changes: Any) -> str:
    """The text of one answer, or the exception's name and message."""
    try:
        with openai.OpenAI(**settings(server, **changes)) as client:
            answer = client.chat.completions.create(model="fake", messages=MESSAGES, seed=1, max_tokens=9)
    except Exception as error:  # the table shows which exception comes
        return f"{type(error).__module__.partition('.')[0]}.{type(error).__name__}: {error}"
    content = answer.choices[0].message.content if answer.choices else answer.choices
    return f"text {content!r}" if isinstance(content, str) else f"{content!r} as the text"


def stream(server: FakeModel, **changes: Any) -> str:
    """The text of one streamed answer, and the exception that ended it, if one did."""

    async def collect() -> str:
        text, ending = "", ""
        async with openai.AsyncOpenAI(**settings(server, **changes)) as client:
            try:
                chunks = await client.chat.completions.create(model="fake", messages=MESSAGES, seed=1, stream=True)
                async for chunk in chunks:
                    content = chunk.choices[0].delta.content if chunk.choices else chunk.choices
                    text += content if isinstance(content, str) else f"<{content!r}>" * (content not in (None, []))
            except Exception as error:  # the table shows which exception comes
                ending = f", then {type(error).__module__.partition('.')[0]}.{type(error).__name__}: {error}"
        return f"text {text!r}{ending}"

    return asyncio.run(collect())


@contextmanager
def recorded_pauses() -> Iterator[list[float]]:
    """The pauses before further attempts, which take no time meanwhile."""
    pauses: list[float] = []
    real = internals.time
    internals.time = SimpleNamespace(sleep=pauses.append, time=real.time)
    try:
        yield pauses
    finally:
        internals.time = real


def pauses_after(judge: FakeJudge, header: str) -> list[float]:
    judge.failures, judge.after = [(429, "slow down")], [header]
    with recorded_pauses() as pauses:
        ask(judge, max_retries=2)
    return pauses


def try_retry_after(judge: FakeJudge, model: FakeModel) -> Outcome:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    seconds, by_date, minutes = (pauses_after(judge, header) for header in ("90", date, "150"))
    waits = [[round(pause) for pause in pauses] for pauses in (seconds, by_date, minutes)]
    return waits[2] == [150], f"90 s: waits {waits[0]}; date in 90 s: {waits[1]}; 150 s: {waits[2]}, gives up"


def try_busy(judge: FakeJudge, model: FakeModel) -> Outcome:
    """Five minutes of 429 may pass while a server that fails (500) is asked four times."""
    totals = []
    for status in (429, 500):
        judge.reply = lambda prompt, status=status: (status, "no")
        judge.bodies.clear()
        with recorded_pauses() as pauses:
            ask(judge, max_retries=40)
        totals.append((len(judge.bodies), sum(pauses)))
    requests, seconds = zip(*totals, strict=True)
    seen = f"max_retries=40: 429 asked {requests[0]} times in {seconds[0]:.0f} s, 500 also {requests[1]} times"
    return requests[0] != requests[1], seen


def try_nonsense(judge: FakeJudge, model: FakeModel) -> Outcome:
    endings = []
    for answer in (b"<html>login</html>", b"{}", {"choices": [{"message": {"content": 7}}]}):
        judge.failures, judge.bodies = [answer], []
        endings.append(f"{ask(judge, max_retries=2).partition(':')[0]}, {len(judge.bodies)} request")
    return all(not ending.endswith(" 1 request") for ending in endings), "HTML, {}, a number: " + "; ".join(endings)


def try_total_time(judge: FakeJudge, model: FakeModel) -> Outcome:
    judge.wait = 0.35
    begin = time.monotonic()
    answer = ask(judge, timeout=0.5)
    return not answer.startswith("text"), f"timeout=0.5: an answer in {time.monotonic() - begin:.1f} s is taken"


def try_size(judge: FakeJudge, model: FakeModel) -> Outcome:
    judge.reply = lambda prompt: "x" * 2**23
    answer = ask(judge, timeout=30)
    return not answer.startswith("text"), f"an answer of {len(answer) / 2**20:.0f} MiB is read whole"


def try_stopping(judge: FakeJudge, model: FakeModel) -> Outcome:
    """Another request failed for good: the threads that wait must not ask on."""
    judge.failures, judge.after = [(429, "slow down")], ["2"]
    client = openai.OpenAI(**settings(judge, max_retries=2))

    def ask_quietly() -> None:
        try:
            client.chat.completions.create(model="fake", messages=MESSAGES)
        except (openai.OpenAIError, RuntimeError):
            return

    thread = threading.Thread(target=ask_quietly)
    thread.start()
    time.sleep(0.3)
    begin = time.monotonic()
    client.close()
    thread.join()
    seconds = time.monotonic() - begin
    return seconds < 1, f"closing the client ends a pause of 2 s after {seconds:.1f} s"


def try_redirects(judge: FakeJudge, model: FakeModel) -> Outcome:
    second = FakeJudge()
    judge.reply, judge.location = lambda prompt: (307, "elsewhere"), f"{address_of(second)}/chat/completions"
    ask(judge)
    followed = len(second.bodies)
    second.bodies.clear()
    ask(judge, http_client=openai.DefaultHttpxClient(follow_redirects=False))
    refused = not second.bodies
    second.close()
    keys = "without" if second.keys == [None] else "with"
    seen = f"as it comes: {followed} prompt sent to the other address, {keys} the key; follow_redirects=False refuses"
    return refused, seen


def try_binding(judge: FakeJudge, model: FakeModel) -> Outcome:
    """What was set for OpenAI must not reach a server for which nothing was set."""
    os.environ |= {"OPENAI_API_KEY": "sk-openai", "OPENAI_ORG_ID": "org-openai"}
    try:
        ask(judge, api_key=None)
        headers: list[Any] = []
        hooks: Any = {"request": [lambda request: headers.append(request.headers)]}
        ask(judge, http_client=openai.DefaultHttpxClient(event_hooks=hooks))
    finally:
        del os.environ["OPENAI_API_KEY"], os.environ["OPENAI_ORG_ID"]
    without = ask(judge, api_key=None).partition(":")[0]
    seen = f"any base_url gets OPENAI_API_KEY ({judge.keys[0]}) if no other key is set"
    organization = headers[0].get("OpenAI-Organization")
    return (
        judge.keys[0] is organization is None,
        f"{seen}, and OPENAI_ORG_ID ({organization}) always; without a key: {without}",
    )


def try_key_in_messages(judge: FakeJudge, model: FakeModel) -> Outcome:
    judge.reply = lambda prompt: (404, f"no model for {KEY}")
    message = ask(judge)
    return KEY not in message, f"a server that quotes the key: {message}"


def try_unknown_fields(judge: FakeJudge, model: FakeModel) -> Outcome:
    judge.picky = True
    answer = ask(judge, max_retries=2)
    return answer.startswith("text"), f"seed rejected: {answer}"


def try_log_probs(judge: FakeJudge, model: FakeModel) -> Outcome:
    judge.reply = lambda prompt: with_log_probs("A", ["A"], 0, {"A": -0.1, "B": -2.0})
    with openai.OpenAI(**settings(judge)) as client:
        answer = client.chat.completions.create(model="fake", messages=MESSAGES, logprobs=True, top_logprobs=5)
    content = answer.choices[0].logprobs.content
    return [rival.logprob for rival in content[0].top_logprobs] == [-0.1, -2.0], "read"


def try_stream(judge: FakeJudge, model: FakeModel) -> Outcome:
    answer = stream(model)
    return answer.startswith("text 'Herons"), answer


def streams(model: FakeModel, modes: str) -> dict[str, str]:
    answers = {}
    for mode in modes.split():
        model.mode = mode
        answers[mode] = stream(model)
    return answers


def try_cut(judge: FakeJudge, model: FakeModel) -> Outcome:
    answer = streams(model, "cut")["cut"]
    return ", then" in answer, f"{answer}, no error"


def try_unstreamed(judge: FakeJudge, model: FakeModel) -> Outcome:
    answer = streams(model, "unstreamed")["unstreamed"]
    return "all at once" in answer, f"JSON in place of a stream: {answer}, no error"


def try_page(judge: FakeJudge, model: FakeModel) -> Outcome:
    answer = streams(model, "web_page")["web_page"]
    return ", then" in answer, f"{answer}, no error"


def try_malformed(judge: FakeJudge, model: FakeModel) -> Outcome:
    answers = streams(model, "nonsense misshapen shapeless")
    kinds = [answer.partition(", then ")[2].partition(":")[0] for answer in answers.values()]
    seen = f"no JSON: {kinds[0]}; a number as the text: {answers['misshapen']}; no choices: {answers['shapeless']}"
    return all(kind.startswith("openai.") for kind in kinds), seen


def try_midway(judge: FakeJudge, model: FakeModel) -> Outcome:
    answer = streams(model, "failing_midway")["failing_midway"]
    return "openai.APIError: out of memory" in answer, answer


def try_silence(judge: FakeJudge, model: FakeModel) -> Outcome:
    begin = time.monotonic()
    answer = streams(model, "silent")["silent"]
    seconds = time.monotonic() - begin
    return seconds < 2, f"timeout=0.5: comments keep it waiting for {seconds:.0f} s, as long as they come; {answer}"


def try_line(judge: FakeJudge, model: FakeModel) -> Outcome:
    answer = streams(model, "without_line_ends")["without_line_ends"]
    return ", then" in answer, f"a line of 3 MiB is read whole: {answer}, no error"


DEMANDS: dict[str, Callable[[FakeJudge, FakeModel], Outcome]] = {
    "a stream's text": try_stream,
    "log-probabilities": try_log_probs,
    "an error within a stream": try_midway,
    "redirects refused": try_redirects,
    "Retry-After of minutes": try_retry_after,
    "a busy server uses up no tries": try_busy,
    "an unusable answer is asked again": try_nonsense,
    "a wait can be stopped": try_stopping,
    "a bound on the whole time": try_total_time,
    "a bound on an answer's size": try_size,
    "a bound on a stream's line": try_line,
    "a bound on silence with signs of life": try_silence,
    "a stream that was cut off is an error": try_cut,
    "a web page is an error": try_page,
    "JSON in place of a stream is read": try_unstreamed,
    "a malformed chunk is the package's error": try_malformed,
    "once more without rejected fields": try_unknown_fields,
    "the key is bound to its address": try_binding,
    "no key in messages": try_key_in_messages,
}


def import_seconds() -> float:
    """Median of five imports in processes of their own, less the start of Python."""

    def measure(code: str) -> float:
        times = []
        for _ in range(5):
            begin = time.perf_counter()
            subprocess.run([sys.executable, "-c", code], check=True)
            times.append(time.perf_counter() - begin)
        return sorted(times)[2]

    return measure("import openai") - measure("pass")


def main() -> None:
    os.environ |= {"NO_PROXY": "127.0.0.1"}
    print(f"openai {version('openai')}\n\n| demand | given | seen |\n|---|---|---|")
    lacking = 0
    for demand, attempt in DEMANDS.items():
        judge, model = FakeJudge(), FakeModel()
        fulfilled, seen = attempt(judge, model)
        judge.close()
        model.close()
        lacking += not fulfilled
        print(f"| {demand} | {'yes' if fulfilled else 'no'} | {seen.replace('|', '/')} |", flush=True)
    packages = sorted(distribution.name for distribution in distributions())
    print(f"\nLacks {lacking} of {len(DEMANDS)}. Import: {import_seconds():.2f} s. Packages: {', '.join(packages)}")


if __name__ == "__main__":
    main()
