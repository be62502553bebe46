"""Chat templates: variables, the date, bounds of time and length, and what they do to conversations."""

from __future__ import annotations

import copy
import datetime
from collections.abc import Callable
from pathlib import Path

import pytest

from plaudit.feedback.kinds import KINDS
from plaudit.feedback.store import Store
from plaudit.language import template as templates
from plaudit.language.data import read_judgements
from plaudit.language.models import LanguageModel
from plaudit.language.reward import HeadsConfig
from plaudit.language.template import (
    TRANSCRIPT,
    StoppedTemplate,
    Template,
    TemplateConfig,
    parse_variables,
    set_variables,
)
from plaudit.language.template_check import Findings, check_conversations, judged_conversations
from plaudit.language.template_sandbox import SANDBOX
from plaudit.language.text import Chat
from plaudit.types import Dialogue, Judgement, Message, PlauditError, Question

DAY = datetime.date(2026, 1, 2)
TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
ALTERNATE = (
    "{% for m in turns %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
)
LLAMA_2 = (
    "{% if messages[0].role == 'system' %}{% set turns = messages[1:] %}{% set sys = messages[0].content %}"
    "{% else %}{% set turns = messages %}{% set sys = false %}{% endif %}" + ALTERNATE + "{% if loop.index0 == 0 and "
    "sys %}{% set content = '<<SYS>>\n' + sys + '\n<</SYS>>\n\n' + m.content %}{% else %}{% set content = m.content %}"
    "{% endif %}{% if m.role == 'user' %}{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}{% else %}"
    "{{ ' ' + content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}"
)
LLAMA_3 = (
    "{{ bos_token }}{% for m in messages %}<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n{{ m.content | trim }}"
    "<|eot_id|>{% endfor %}{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}"
    "{% endif %}"
)
MISTRAL = (
    "{{ bos_token }}{% if messages[0].role == 'system' %}{% set turns = messages[1:] %}{% set sys = "
    "messages[0].content %}{% else %}{% set turns = messages %}{% endif %}"
    + ALTERNATE
    + "{% if m.role == 'user' %}{% if m == (turns | selectattr('role', 'equalto', "
    "'user') | list)[-1] and sys is defined %}{{ '[INST] ' + sys + '\n\n' + m.content + "
    "'[/INST]' }}{% else %}{{ '[INST] ' + m.content + '[/INST]' }}{% endif %}{% else %}{{ ' ' + m.content + eos_token "
    "}}{% endif %}{% endfor %}"
)
GEMMA = (
    "{{ bos_token }}{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for m in messages %}{{ '<start_of_turn>' + ('model' if m.role == 'assistant' else m.role) + '\n' + "
    "(m.content | trim) + '<end_of_turn>\n' }}{% endfor %}{% if add_generation_prompt %}"
    "{{ '<start_of_turn>model\n' }}{% endif %}"
)
QWEN_3 = (
    "{% set ns = namespace(last=0) %}{% for m in messages %}{% if m.role == 'user' %}{% set ns.last = loop.index0 %}"
    "{% endif %}{% endfor %}{% for m in messages %}{% if m.role != 'assistant' %}{{ '<|im_start|>' + m.role + '\n' + "
    "m.content + '<|im_end|>\n' }}{% else %}{% set content = m.content %}{% set thought = '' %}"
    "{% if '</think>' in content %}{% set thought = content.split('</think>')[0].split('<think>')[-1].strip() %}"
    "{% set content = content.split('</think>')[-1].lstrip() %}{% endif %}{{ '<|im_start|>assistant\n' }}"
    "{% if loop.index0 > ns.last %}{{ '<think>\n' + thought + '\n</think>\n\n' }}{% endif %}{{ content + "
    "'<|im_end|>\n' }}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}"
    "{% if enable_thinking is defined and not enable_thinking %}{{ '<think>\n\n</think>\n\n' }}{% endif %}{% endif %}"
)
SYSTEM, HI = Message("system", "Be brief."), Message("user", "user")  # a text that templates write, too
OK, MORE, END = Message("assistant", " Yes.\n"), Message("user", "And now?"), Message("assistant", "No.")
PLAIN = [(HI,), (HI, OK), (HI, OK, MORE), (HI, OK, MORE, END)]


def check(text: str, conversations: list[tuple[Message, ...]]) -> Findings:
    return check_conversations(Template(text, DAY, TOKENS), conversations)


@pytest.mark.parametrize("text", [CHATML, LLAMA_2, LLAMA_3, MISTRAL, GEMMA, QWEN_3, TRANSCRIPT])
def test_usual_templates_give_no_alarm(text: str) -> None:
    assert check(text, PLAIN).check("refuse") == []
    if text not in (GEMMA, MISTRAL):
        assert check(text, [(SYSTEM, *messages) for messages in PLAIN]).check("refuse") == []


def test_thinking_may_be_left_out_of_earlier_turns() -> None:
    thought = Message("assistant", "<think>\nhm\n</think>\n\nYes.")
    quiet = set_variables(QWEN_3, {"enable_thinking": False})
    assert check(QWEN_3, [(HI, thought)]).check("refuse") == [] == check(quiet, PLAIN).check("refuse")
    (line,) = check(QWEN_3, [(HI, thought), (HI, thought, MORE), (HI, thought, MORE, END)]).check("refuse")
    assert line.startswith(
        "the chat template leaves out the thinking of a turn of the assistant before the last turn (2"
    )


@pytest.mark.parametrize(
    ("text", "conversations", "line"),
    [
        (MISTRAL, [(SYSTEM, HI)], "writes the system message into the user's turn (1 of 1 conversations; it writes"),
        (MISTRAL, [(SYSTEM, HI, OK, MORE)], "writes the system message at another place (1 of 1"),
        (GEMMA, [(SYSTEM, HI), (HI,)], 'refuses a system message (1 of 2 conversations; its own words: "System role'),
        (LLAMA_2, [(OK, HI)], "refuses conversations that begin with the assistant (1 of 1"),
        (MISTRAL, [(HI, MORE)], 'refuses two turns of one role in a row (1 of 1 conversations; its own words: "Conv'),
        (f"{{{{ strftime_now('%d %b') }}}}{CHATML}", [(HI,)], "writes the date (1 of 1 conversations; 2026-01-02"),
        (f"{{% if strftime_now('%d') == '13' %}}x{{% endif %}}{CHATML}", [(HI,)], "writes the date (1 of 1 conversat"),
        (f"{{% if strftime_now('%m') == '02' %}}x{{% endif %}}{CHATML}", [(HI,)], "writes the date (1 of 1 conversat"),
        (
            CHATML.replace("m.content", "m.content + ' /no_think'"),
            [(HI, OK)],
            "adds words of its own (1 of 1 conversat",
        ),
        (CHATML.replace("m.content", "'Think first. ' + m.content"), [(HI,)], "adds words of its own (1 of 1"),
        (f"Below is an instruction. Answer it.\n\n{CHATML}", [(HI, OK)], "adds words of its own (1 of 1"),
        (
            CHATML.replace("<|im_end|>", "{% if 'now' in m.content %}!{% endif %}<|im_end|>"),
            [(HI,), (MORE,)],
            'writes other words around some texts, which depend on what they say (1 of 2 conversations; the first: "',
        ),
        (
            "{% if messages[0].role != 'system' %}<|im_start|>system\nYou are Q.<|im_end|>\n{% endif %}" + CHATML,
            [(HI,)],
            'adds a system message of its own (1 of 1 conversations; "You are Q.")',
        ),
    ],
)
def test_what_loses_nothing_is_said(text: str, conversations: list[tuple[Message, ...]], line: str) -> None:
    (said,) = check(text, conversations).check("refuse")
    assert said.startswith(f"the chat template {line}")


@pytest.mark.parametrize(
    ("text", "conversations", "line"),
    [
        (
            CHATML.replace("%}<", "%}{% if m.role == 'system' %}{% continue %}{% endif %}<", 1),
            [(SYSTEM, HI), (HI,)],
            'drops the system message (1 of 2 conversations; it writes "<|im_start|>user',
        ),
        (CHATML.replace("in messages", "in messages[-1:]"), PLAIN, "drops a turn of the assistant before the last"),
        (CHATML.replace("in messages", "in messages[::-1]"), PLAIN[1:2], "moves a turn to another place (1 of 1"),
        (CHATML.replace("m.content", "m.content | lower"), [(HI,), (MORE,)], "changes a turn of the user (1 of 2"),
        (CHATML.replace("m.content", "m.content[:5]"), [(HI,), (MORE,)], "changes a turn of the user"),
        (CHATML.replace("m.content }}", "m.content }}{{ m.content }}"), [(HI,)], "writes a turn of the user twice"),
        (CHATML.partition("{% if add")[0], [(HI,)], "ignores add_generation_prompt (1 of 1 conversations; a response"),
        (
            CHATML.replace(
                "{{ m.content", "{% if loop.last and loop.index0 %}{{ messages[0].content }}{% endif %}{{ m.content"
            ),
            [(SYSTEM, HI, OK)],
            "writes the system message twice",
        ),
        (CHATML.replace("<|im_end|>", "{{ range(9999) | random }}<|im_end|>"), [(HI,)], "writes a conversation diff"),
        (f"{{{{ messages | length }}}}{CHATML}", [(HI,)], "writes a prompt otherwise once a response follows it (1"),
    ],
)
def test_what_loses_or_changes_text_is_refused(text: str, conversations: list[tuple[Message, ...]], line: str) -> None:
    findings = check(text, conversations)
    with pytest.raises(PlauditError, match="--template-changes accept") as caught:
        findings.check("refuse")
    assert f"the chat template {line}" in str(caught.value) and "\n" not in str(caught.value)
    assert any(said.startswith(f"the chat template {line}") for said in findings.check("accept"))


def test_variables_become_part_of_the_template() -> None:
    parsed = parse_variables(["a=false", 'b={"c": [1.5, null, "%}"]}', "d=é \\n '\"", "e=NaN"])
    assert parsed == {"a": False, "b": {"c": [1.5, None, "%}"]}, "d": "é \\n '\"", "e": "NaN"}
    text = set_variables("  {% if not a %}{{ b.c[2] }}{% endif %}{{ b.c[1] is none }}{{ d }}{{ e }}", parsed)
    assert Template(text, DAY).render([HI]) == "%}Trueé \\n '\"NaN" and set_variables(text, parsed) == text
    with pytest.raises(PlauditError, match=r"does not read the variable thinking. Its variables: bos_token"):
        set_variables(GEMMA, {"thinking": True})
    own = (
        "{% set x = 1 %}{% if q %}{% set x = 2 %}{% endif %}{{ x }}"
        "{% if not day is defined %}{% set day = 3 %}{% endif %}{{ day }}"
    )
    with pytest.raises(PlauditError, match=r"does not read the variable x. Its variables: day, q$"):
        set_variables(own, {"x": 5})  # it sets this one before it reads it
    twice = set_variables(set_variables(own, {"day": 4}), {"day": 6})
    assert Template(twice, DAY).render([HI]) == "16"
    assert parse_variables(["a=" + "[" * 10**5]) == {"a": "[" * 10**5}
    for argument, fault in (("a", "NAME=VALUE"), ("messages=1", "set by Plaudit"), ("a-b=1", "NAME=VALUE")):
        with pytest.raises(PlauditError, match=fault):
            TemplateConfig((argument,))
    with pytest.raises(PlauditError, match="YYYY-MM-DD"):
        TemplateConfig(date="tomorrow")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}", "takes over 0.2 seconds"),
        ("{{ 3 ** (10 ** ((messages[0].content | length) + 4)) % 7 }}", "takes over 0.2 seconds"),
        ("{{ 'a' * 10 ** 10 }}", "needs too much memory"),
        ("{{ messages[0].content * 10 ** 10 }}", "needs too much memory"),
        ("{{ messages[0].content | center(10 ** 10) }}", "needs too much memory"),
        ("{% for i in range(10 ** 10) %}{% endfor %}", "Range too big"),
        ("{% for i in range(99999) %}{{ 'x' * 999 }}{% endfor %}", "writes over 1,000,016 characters"),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "recursion"),
        ("\n{{ messages[7].content.upper() }}", r"no element 7 \(line 2 of the template\)"),
        ("\n{% if x %}", r"line 2 of the template"),
    ],
)
def test_a_template_that_does_not_end_is_stopped(text: str, fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = SANDBOX._process
    with monkeypatch.context() as patch, pytest.raises(PlauditError, match=fault):
        if "seconds" in fault:  # the others must end within the usual time, on a busy machine too
            patch.setattr(templates, "SECONDS", 0.2)
        Template(text, DAY).render([HI])
    if "seconds" in fault and before is not None:
        assert before.returncode is not None  # the process of a template that was stopped ends
    assert Template("{{ messages[0].content }}", DAY).render([HI]) == "user"


def test_a_template_that_does_not_end_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of a thousand conversations would take the whole time again, and be passed over."""
    monkeypatch.setattr(templates, "SECONDS", 0.2)
    text = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}{# many #}"
    calls = []
    monkeypatch.setattr(
        SANDBOX, "call", lambda *args, call=SANDBOX.call, **more: (calls.append(1), call(*args, **more))[1]
    )
    for _ in range(3):
        with pytest.raises(StoppedTemplate, match=r"takes over 0.2 seconds"):
            check(text, [(Message("user", str(index)),) for index in range(1000)])
    assert len(calls) == templates.STOPS


def test_words_of_a_template_are_short_and_printable() -> None:
    with pytest.raises(PlauditError) as caught:
        Template("{{ raise_exception('\\x1b[31m' + 'x' * 10000) }}", DAY).render([HI])
    assert len(str(caught.value)) < 500 and str(caught.value).isprintable()


def test_a_tokenizer_with_several_templates(tiny: Callable[..., LanguageModel]) -> None:
    model = tiny()
    model.tokenizer = copy.deepcopy(model.tokenizer)
    model.tokenizer.chat_template = {"rag": CHATML, "tools": CHATML}  # type: ignore[assignment]
    for use in (Chat, lambda model: TemplateConfig().apply(model.tokenizer, "own")):
        with pytest.raises(
            PlauditError, match=r"several chat templates \(rag, tools\), and none of them is named default"
        ):
            use(model)
    with pytest.raises(PlauditError, match="--template-kwargs eos_token: the tokenizer sets this variable"):
        TemplateConfig(("eos_token=x",)).apply(tiny().tokenizer, "own")


@pytest.mark.parametrize("constant", ["10 ** 10 ** 9", "'a' * 10 ** 11", "'a' | center(10 ** 11)", "range(10 ** 10)"])
def test_reading_the_variables_of_a_template_computes_nothing_without_end(constant: str) -> None:
    with pytest.raises(PlauditError, match="does not read the variable a"):
        set_variables(f"{{{{ {constant} }}}}{{{{ b }}}}", {"a": 1})


def test_a_fork_runs_templates_in_a_process_of_its_own() -> None:
    assert Template("{{ messages[0].content }}", DAY).render([HI]) == "user"
    process, SANDBOX._owner = SANDBOX._process, SANDBOX._owner + 1  # as it looks in a fork
    assert Template("a", DAY).render([HI]) == "a" and SANDBOX._process is not process
    assert process is not None and process.stdin is not None and process.stdout is not None
    process.kill()
    process.stdin.close()
    process.stdout.close()


def test_conversations_that_part_early_are_compared_by_what_follows(
    tiny: Callable[..., LanguageModel], tmp_path: Path
) -> None:
    chat = Chat(tiny())
    first = Dialogue((SYSTEM, HI, Message("assistant", "the cat"), MORE, Message("assistant", "sat")))
    second = Dialogue((SYSTEM, HI, Message("assistant", "the mat"), MORE, Message("assistant", "no")))
    shorter = Dialogue((SYSTEM, HI, Message("assistant", "go on")))
    tree = chat.dialogues([first, second, shorter])
    decode = chat.tokenizer.decode
    assert decode(tree.prompt) == "<|system|>Be brief.<|end|><|user|>user<|end|><|assistant|>"
    assert [decode(completion) for completion in tree.completions] == [
        "the cat<|end|><|user|>And now?<|end|><|assistant|>sat<|end|>",
        "the mat<|end|><|user|>And now?<|end|><|assistant|>no<|end|>",
        "go on<|end|>",
    ]
    question = Question("comparison", (first.id, second.id), "Which?")
    with Store.open(tmp_path / "feedback.sqlite") as store:
        value = KINDS["comparison"].validate({"strength": 4}, question)
        store.record([(question, Judgement(question.id, "ada", value, (0, 1), 1.0, 2.0, 3.0, "1"))], [first, second])
        (example,), counts = read_judgements(store, chat, HeadsConfig(), 512)
        assert (example.mu, counts.used, counts.refused) == (1.0, 1, []) and judged_conversations(store) == [
            first.messages,
            second.messages,
        ]
        assert [decode(completion) for completion in example.tree.completions][1].startswith("the mat<|end|><|user|>")
        held_out = read_judgements(store, chat, HeadsConfig(), 512, held_out=[(SYSTEM, HI)])[1]
        assert held_out.held_out == 1
    beginning = Dialogue((*first.messages, MORE, END))  # one that the other continues
    tree = chat.dialogues([first, beginning])
    assert decode(tree.prompt).endswith("And now?<|end|><|assistant|>") and decode(tree.completions[0]) == "sat<|end|>"
    asked = Dialogue((SYSTEM, HI, Message("assistant", "the cat"), HI, Message("assistant", "sat")))
    assert decode(chat.dialogues([first, asked]).prompt) == decode(chat.prompt([SYSTEM, HI]))  # other questions
    with pytest.raises(PlauditError, match="begin differently"):
        chat.dialogues([first, Dialogue((SYSTEM, MORE, END))])
