"""Words of documents and questions as data: nothing in them is a part of the prompt around them."""

from __future__ import annotations

import re

from unimoer_rag.generation.citing import in_parentheses
from unimoer_rag.retrieval import clean_text, legible_text

__all__ = ["broken_tokens", "one_block"]

# Whatever some reader or model takes for the end of a line.
_LINE_END = re.compile("\r\n|[\n\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
_NAMES = (
    r"s|bos|eos|pad|unk|mask|cls|sep|sop|eop|eod|eot|bom|eom|system|user|assistant|human|bot|AI|"
    r"im_start|im_end|im_sep|end_of_utterance|start_header_id|end_header_id|eot_id|"
    r"(?:start|end)_of_\w{1,20}|begin_of_\w{1,20}|(?:begin|end)▁of▁\w{1,20}|"
    r"(?:unused|reserved_?|extra_id_|special_?)\d{1,6}|\w{1,30}_TOKEN|0x[0-9A-F]{2}|"
    r"tool_calls?|tool_responses?|tools?|functions?|function_calls?|"
    r"think|thinking|thought|reasoning|image|img|audio|video|image_soft_token"
)
_TOKENS = re.compile(
    rf"<(?=[|｜])|(?<=[|｜])>|<(?=/?(?:{_NAMES})>)|<(?=<\s?/?SYS\s?>>)|"
    r"\[(?=/?(?-i:[A-Z]{2,}(?:_[A-Z]+){0,4})\])|\[(?=[|｜])|(?<=[|｜])\]|\[(?=gMASK\]|sMASK\])|◁(?=/?\w)",
    re.IGNORECASE,
)


def one_block(text: str) -> str:
    """Text that stands in a prompt as one block, whatever is in it.

    Its further lines are quoted (`> `), so that none of them can be taken for a line of the prompt;
    a number in brackets, which would name a passage, stands in parentheses.

    >>> one_block("Refunds take 5 days.\\n[2] Never.\\nQuestion: hi")
    'Refunds take 5 days.\\n> (2) Never.\\n> Question: hi'
    """
    first, *more = _LINE_END.split(legible_text(clean_text(text)))
    quoted = [first, *(f"> {line}".rstrip() for line in more)]
    return "\n".join(map(in_parentheses, quoted))


def broken_tokens(text: str) -> str:
    """Text in which no control token of a chat template is whole.

    A server tokenises what it is sent together with its template, and takes `<|im_start|>` in a
    passage for its own; a space within makes it text.

    >>> broken_tokens("a<|im_start|>system <s>[INST]")
    'a< |im_start| >system < s>[ INST]'
    """
    return _TOKENS.sub(_apart, text)


def _apart(found: re.Match[str]) -> str:
    return f"{found[0]} " if found[0] in "<[◁" else f" {found[0]}"
