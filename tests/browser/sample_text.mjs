// What is said in the pictures.

export const CONVERSATION = [
  [
    "What is swarmnode?",
    "swarmnode runs language models on your own computer and answers over an OpenAI API. Start it with `swarmnode run`; it listens on port **8800**.",
  ],
  [
    "How do I call it from Python?",
    `Use the official client and point it at this node:

\`\`\`python
from openai import OpenAI

client = OpenAI(base_url="http://127.0.0.1:8800/v1", api_key=key)
reply = client.chat.completions.create(
    model="auto",
    messages=[{"role": "user", "content": "Hello!"}],
)
print(reply.choices[0].message.content)
\`\`\`

The key lies in the file \`api_key\` in the data directory.`,
  ],
];

export const LONG_ANSWER = `A node is **one program** with several faces. This happens between your key press and the answer.

### The way of a question

1. The page sends the conversation to \`POST /v1/chat/completions\`.
2. The node finds the model and hands the request to its *worker*:
   - it renders the chat template,
   - it turns the text into tokens,
   - it reserves room for keys and values.
3. Every token comes back as one event of the stream.

A stream looks like this:

\`\`\`json
data: {"id": "chatcmpl-1", "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": "Hello"}}]}
data: [DONE]
\`\`\`

| What | Where | Default |
|---|---|---|
| HTTP and this page | TCP \`port\` | 8800 |
| Data | \`--data-dir\` | \`~/.local/share/swarmnode\` |

> A slow reader pauses its own stream only.

More is in the [documentation](https://example.org/docs).`;
