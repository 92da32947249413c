"""Writes a request in the words of Bedrock's Converse. The whole wire: see the package.

Most of it is the same for every model. What is not goes into `additionalModelRequestFields` in the model's own words,
for the families of which they are known: Claude, Nova, gpt-oss, Mistral. The family is read from the model's id; an id
that does not show it (of an application inference profile, a provisioned or imported model) is of none. `extra` may
hold `additionalModelRequestFields` too, and then these are sent and no others.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from msgspec import MsgspecError

from streamcore.errors import LocalError
from streamcore.request import Reasoning, Request, Schema, Tool, ToolChoice
from streamcore.wire import Warnings, json_text, post, present

from .conversation import CACHE_POINT, Block, Conversation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streamcore.request import HTTPRequest, Target

__all__ = ["encode", "key_variables", "url"]

url: Final = "https://bedrock-runtime.us-east-1.amazonaws.com"
key_variables: Final = ("AWS_BEARER_TOKEN_BEDROCK",)

_ACCEPT: Final = "application/vnd.amazon.eventstream"
_FAMILY: Final = re.compile(r"(?:^|[./])(anthropic\.|amazon\.nova|openai\.gpt-oss|mistral\.)")
_FAMILIES: Final = {"anthropic.": "claude", "amazon.nova": "nova", "openai.gpt-oss": "gpt-oss", "mistral.": "mistral"}
_EFFORTS: Final = ("low", "medium", "high", "xhigh", "max")
_THREE_EFFORTS: Final = frozenset({"nova", "gpt-oss"})  # those that have no more than the first three
_CHOICES: Final[Mapping[str, Block]] = {"auto": {"auto": {}}, "none": {"auto": {}}, "required": {"any": {}}}


def encode(request: Request, target: Target) -> HTTPRequest:
    """The request for a streamed answer.

    Raises:
        LocalError: It holds what cannot be sent at all, such as arguments that are not a JSON object.
    """
    model = request.model or target.model
    found = _FAMILY.search(model)
    family = _FAMILIES[found[1]] if found else ""
    warnings = Warnings()
    conversation = Conversation(warnings, family)
    system, messages = conversation.turns(request.messages)
    reasoning, effort = _reasoning(request.reasoning, family, warnings)
    tools, own_choice = _tools(request, conversation, family, warnings)
    inference = {
        "maxTokens": request.max_tokens,
        "temperature": request.temperature,
        "topP": request.top_p,
        "stopSequences": request.stop or None,
    }
    body = {
        "messages": messages,
        "system": system or None,
        "inferenceConfig": present(inference) or None,
        "toolConfig": tools or None,
        "outputConfig": present({"textFormat": _text_format(request, warnings), "effort": effort}) or None,
        "additionalModelRequestFields": {**reasoning, **_top_k(request, family, warnings), **own_choice} or None,
        "requestMetadata": dict(request.metadata or {}) or None,
    }
    warnings.unsupported(request, ("presence_penalty", "frequency_penalty", "seed", "user", "cache_key"))
    address = f"{target.url}/model/{quote(model, safe='', errors='replace')}/converse-stream"
    headers = {} if target.key is None else {"authorization": f"Bearer {target.key.reveal()}"}
    return post(address, body, target=target, request=request, headers=headers, warnings=warnings, accept=_ACCEPT)


def _tools(request: Request, conversation: Conversation, family: str, warnings: Warnings) -> tuple[Block, Block]:
    """The tools and which of them to call: in the API's own words, and in those of the model, if only it has any.

    The API wants tools wherever the conversation has used some, and has no word for calling none of them.
    """
    choice, parallel = request.tool_choice, request.parallel_tool_calls
    given = request.tools
    if choice == "none" and not conversation.uses_tools:
        return {}, {}
    if not given and conversation.tools:
        given = tuple(Tool(name) for name in conversation.tools)
        warnings.add(
            "tools", "the API wants those that the conversation has called, which are declared, without schema"
        )
    if not given:
        for name in ("tool_choice", "parallel_tool_calls"):
            if getattr(request, name) is not None:
                warnings.add(name, "refused without tools")
        return {}, {}
    if choice == "none":
        warnings.add("tool_choice", "there is no word for none: the model may call a tool all the same")
    wire: Block = {"tools": [block for tool in given for block in _tool(tool)]}
    if parallel is False and family == "claude":
        return wire, {"tool_choice": _choice_of_claude(choice)}
    if parallel is False:
        warnings.add("parallel_tool_calls", "not supported by this model")
    if isinstance(choice, ToolChoice):
        wire["toolChoice"] = {"tool": {"name": choice.name}}
    elif choice is not None:
        wire["toolChoice"] = _CHOICES[choice]
    return wire, {}


def _choice_of_claude(choice: str | ToolChoice | None) -> Block:
    """One call at a time. The API refuses this beside a choice of its own, so the choice is here too."""
    if isinstance(choice, ToolChoice):
        return {"type": "tool", "name": choice.name, "disable_parallel_tool_use": True}
    return {"type": "any" if choice == "required" else "auto", "disable_parallel_tool_use": True}


def _tool(tool: Tool) -> list[Block]:
    spec = present(
        {
            "name": tool.name,
            "description": tool.description if tool.description.strip() else None,
            "inputSchema": {"json": {"type": "object", **(tool.parameters or {"properties": {}})}},
            "strict": tool.strict,
        }
    )
    return [{"toolSpec": spec}, CACHE_POINT] if tool.cache else [{"toolSpec": spec}]


def _text_format(request: Request, warnings: Warnings) -> Block | None:
    output = request.output
    if output == "json":
        warnings.add("output", "there is no JSON mode without a schema")
    if not isinstance(output, Schema):
        return None
    if output.strict is False:
        warnings.add("output.strict", "a schema is always enforced")
    try:
        text = json_text(output.schema)
    except (TypeError, ValueError, RecursionError, MsgspecError) as error:
        raise LocalError(f"output.schema cannot be written as JSON: {error}") from error
    schema = {"schema": text, "name": output.name, "description": output.description}
    return {"type": "json_schema", "structure": {"jsonSchema": present(schema)}}


def _top_k(request: Request, family: str, warnings: Warnings) -> Block:
    if request.top_k is None:
        return {}
    if family == "nova":
        return {"inferenceConfig": {"topK": request.top_k}}
    if family in {"claude", "mistral"}:
        return {"top_k": request.top_k}
    warnings.add("top_k", "this model's own word for it is not known")
    return {}


def _reasoning(reasoning: Reasoning | None, family: str, warnings: Warnings) -> tuple[Block, str | None]:
    """What asks for reasoning: the model's own fields, and the effort where the API's own field says it."""
    if reasoning is None:
        return {}, None
    if family == "claude":
        return _thinking(reasoning, warnings), _effort(reasoning, family, warnings)
    if reasoning.summary is not None:
        warnings.add("reasoning.summary", "not supported by this model")
    own: Block = {}
    if reasoning.budget_tokens is not None and not family:  # if any model can, it is a Claude that does not show it
        own = _thinking(Reasoning(budget_tokens=reasoning.budget_tokens), warnings)
    elif reasoning.budget_tokens is not None:
        warnings.add("reasoning.budget_tokens", "not supported by this model")
    if reasoning.effort == "none" and family == "nova":
        return {"reasoningConfig": {"type": "disabled"}}, None
    if reasoning.effort == "none":
        warnings.add("reasoning.effort", "this model has no word for none")
    effort = _effort(reasoning, family, warnings)
    if effort is not None and family == "nova":
        return {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": effort}}, None
    if effort is not None and family == "gpt-oss":
        return {"reasoning_effort": effort}, None
    return own, effort


def _thinking(reasoning: Reasoning, warnings: Warnings) -> Block:
    """Claude thinks within a budget if one is given, else as much as it likes."""
    budget = reasoning.budget_tokens
    if reasoning.effort == "none" or budget == 0:
        if budget:
            warnings.add("reasoning.budget_tokens", "there is none where the effort is none")
        return {"thinking": {"type": "disabled"}}
    display = None if reasoning.summary is None else "summarized" if reasoning.summary else "omitted"
    if budget is not None:
        return {"thinking": present({"type": "enabled", "budget_tokens": budget, "display": display})}
    if reasoning.effort is not None or display is not None:
        return {"thinking": present({"type": "adaptive", "display": display})}
    return {}


def _effort(reasoning: Reasoning, family: str, warnings: Warnings) -> str | None:
    if reasoning.effort is None or reasoning.effort == "none":
        return None
    known = _EFFORTS[:3] if family in _THREE_EFFORTS else _EFFORTS
    if reasoning.effort in known:
        return reasoning.effort
    nearest = known[0] if reasoning.effort == "minimal" else known[-1]
    warnings.add("reasoning.effort", f"the nearest is {nearest}, which is sent")
    return nearest
