"""Tool calls, tools and reasoning reach the model through the chat template, or the pair is refused."""

import pytest

from curate.schema import Block, Message, tool_call
from tests.support.pairs import turn
from tests.support.tiny_models import checkpoint
from trainer.encode import Encoder, Refused

TEMPLATE = (
    "{% if tools %}<tools>{{ tools | tojson }}{% endif %}"
    "{% for m in messages %}<{{ m.role }}>{% if m.name %}[{{ m.name }}]{% endif %}"
    "{% if m.reasoning_content %}<think>{{ m.reasoning_content }}</think>{% endif %}{{ m.content }}"
    "{% for c in m.tool_calls %}<call>{{ c.function.name }}{{ c.function.arguments | tojson }}{% endfor %}"
    "{% endfor %}"
)
OSLO, ROME = (tool_call("weather", {"city": city}) for city in ("Oslo", "Rome"))
ASKED = [turn("user", "Weather?")]


def encoder(template=None) -> Encoder:
    own = Encoder(checkpoint("text"), max_length=2000)
    if template:
        own.template = template
    return own


def written(own: Encoder, prompt, reply, tools=None) -> str:
    (tree,) = own.dialogue(prompt, [[reply], [reply]], [], tools)
    return own.tokenizer.decode(tree.ids[0])


def test_calls_tools_and_reasoning_are_written_by_the_template():
    called = Message("assistant", (Block("reasoning", "Hm."), OSLO))
    answer = Message("tool", (Block("tool_name", "weather"), Block("text", "4 C")))
    text = written(encoder(TEMPLATE), [*ASKED, called, answer], turn("assistant", "4 C"), '[{"name": "weather"}]')
    assert text == (
        '<tools>[{"name": "weather"}]<user>Weather?<assistant><think>Hm.</think><call>weather{"city": "Oslo"}'
        "<tool>[weather]4 C<assistant>4 C"
    )


def test_replies_that_differ_in_their_call_only_are_different_branches():
    sides = [[Message("assistant", (Block("text", ""), call))] for call in (OSLO, ROME)]
    own = encoder(TEMPLATE)
    (tree,) = own.dialogue(ASKED, sides, [])
    assert [own.tokenizer.decode(ids).partition("<call>")[2] for ids in tree.ids] == [
        'weather{"city": "Oslo"}',
        'weather{"city": "Rome"}',
    ]


@pytest.mark.parametrize(
    ("prompt", "reply", "tools", "field"),
    [
        (ASKED, Message("assistant", (OSLO,)), None, "tool_calls"),
        (
            ASKED,
            Message("assistant", (Block("reasoning", "Hm."), Block("text", "Yes"))),
            None,
            "reasoning_content",
        ),
        (ASKED, turn("assistant", "Yes"), "[]", "tools"),
    ],
)
def test_what_the_template_does_not_read_is_refused(prompt, reply, tools, field):
    own = encoder("{% for m in messages %}{{ m.content }}{% endfor %}")
    with pytest.raises(Refused) as caught:
        own.dialogue(prompt, [[reply], [reply]], [], tools)
    assert caught.value.detail == f"{field}_unsupported: the chat template does not read {field}"
