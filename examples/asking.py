"""What a request can hold, what a provider takes of it, and what it says about the rest."""

import streamcore as sc
from streamcore.request import Secret, Target

PERSON = sc.Schema({"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}, name="person")

REQUEST = sc.Request(
    messages=(
        sc.Message("system", "Answer briefly."),
        sc.Message(
            "user",
            (
                sc.File(data=b"%PDF-1.7 ...", media_type="application/pdf", name="letter.pdf", cache=True),
                sc.Image(url="https://example.com/portrait.jpg", media_type="image/jpeg"),
                sc.Text(text="Who wrote this, and is it the person in the picture?"),
            ),
        ),
        # An earlier turn as `Fold.message` gives it; `opaque` is what its provider must get back, as it came.
        sc.Message(
            "assistant",
            (
                sc.ReasoningPart(text="I should look it up.", opaque='{"signature":"c2lnbmVk"}'),
                sc.ToolCall(id="call_1", name="look_up", arguments='{"signature":"A. Lovelace"}'),
            ),
        ),
        sc.Message("tool", (sc.ToolResult(id="call_1", name="look_up", content="Ada Lovelace"),)),
    ),
    tools=(sc.Tool("look_up", "Find a person by signature.", {"type": "object"}),),
    tool_choice=sc.ToolChoice("look_up"),
    output=PERSON,
    reasoning=sc.Reasoning(effort="low"),
    max_tokens=4000,
    seed=7,
    extra={"service_tier": "auto"},  # what only one provider has goes into the body as it is
)


def main() -> None:
    """Write the same request for three providers; nothing is sent."""
    for name, model in (("openai", "gpt-5.1"), ("anthropic", "claude-sonnet-4-6"), ("gemini", "gemini-3-pro")):
        adapter = sc.load(name)
        written = adapter.encode(REQUEST, Target(adapter.url, model, Secret("a key that no repr shows")))
        print(f"{name}: {written}")
        for warning in written.warnings:
            print(f"  {warning.field}: {warning.message}")

    try:
        sc.Endpoint("anthropic", "claude-sonnet-4-6", key="k", strict=True).stream(REQUEST)
    except sc.LocalError as error:
        print(f"strict: {error}")


if __name__ == "__main__":
    main()
