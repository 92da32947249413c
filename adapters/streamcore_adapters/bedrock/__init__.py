"""Amazon Bedrock ConverseStream: `POST /model/{modelId}/converse-stream`, answered by AWS's binary event stream.

    messageStart (contentBlockStart? contentBlockDelta* contentBlockStop)* messageStop metadata

Each message's payload is the JSON of its event, with a member `p` of random length against eavesdroppers. Only tool
calls, tool results and images announce their block; text and reasoning begin with their first delta. The answer is
whole with `messageStop`. The usage comes after it, so `Finish` waits for `metadata`, or for the end of the body. An
error in the stream is a message of its own type, `exception` or `error`, which the framing says in the frame's event.

Tools that the provider runs itself, their results, and redacted reasoning are extensions with an index, whose JSON is
the whole content block. What belongs to the whole answer (guardrail trace, service tier, fields of the model's own)
becomes extensions without one.

The default address is that of us-east-1; other regions are given as the endpoint's `url`, and their names in model ids
must fit it. The key is a Bedrock API key. To sign with AWS credentials instead, give the endpoint `sign=sigv4()`.

Sources: the service model in `botocore` 1.44 (`bedrock-runtime` 2023-09-30), the AI SDK's provider 5.0 and its
recorded errors, some 400 recorded streams; read November 2026.

Where it is not quite right: the stream names neither a response nor a model, so `Start` is empty. The counts of input
are taken to exclude what the cache gave and took, which no document says. A message of an unknown type is skipped.
"""

from .decoder import Decoder, billed, framing
from .request import encode, key_variables, url
from .sign import sigv4

__all__ = ["Decoder", "billed", "encode", "framing", "key_variables", "sigv4", "url"]
