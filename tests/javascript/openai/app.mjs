// OpenAI's own client: `node app.mjs SCENARIO`.
import { inCallersTrace, inSession } from "./tracing.mjs";
import "./openai.mjs";
import { traceAgent, traceChain, traceTool } from "@arizeai/openinference-core";
import OpenAI from "openai";
import { retriever } from "./steps.mjs";

const openai = new OpenAI({ maxRetries: 0 });
const asked = (content) => ({ model: "gpt-5-mini", messages: [{ role: "user", content }] });
const streamed = { stream: true, stream_options: { include_usage: true } };
const CALLER = {
  traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
  baggage: "session.id=session%202,user.id=bob",
};
const WARRANTY = "How long is the warranty of a tent?";
const WEATHER = "What is the weather in Oslo?";

const parameters = { type: "object", properties: { city: { type: "string" } } };
const tools = [{ type: "function", function: { name: "get_weather", parameters } }];
const getWeather = traceTool(async ({ city }) => "18 degrees, sunny", { name: "get_weather" });

const agent = traceAgent(
  async (question) => {
    const messages = [{ role: "user", content: question }];
    const first = await openai.chat.completions.create({ model: "gpt-5-mini", messages, tools });
    const [call] = first.choices[0].message.tool_calls;
    const result = await getWeather(JSON.parse(call.function.arguments));
    messages.push(first.choices[0].message, { role: "tool", tool_call_id: call.id, content: result });
    const last = await openai.chat.completions.create({ model: "gpt-5-mini", messages, tools });
    return last.choices[0].message.content;
  },
  { name: "agent" },
);

const TEXTS = [
  "Tents have a warranty of 24 months.",
  "Sleeping bags are washed at 30 degrees.",
  "The shop in Oslo opens at 9.",
];
const search = retriever(async () => TEXTS);

const answer = traceChain(
  async (question) => {
    const messages = [
      { role: "system", content: `Answer from these passages:\n\n${(await search(question)).join("\n\n")}` },
      { role: "user", content: question },
    ];
    const completion = await openai.chat.completions.create({ model: "gpt-5-mini", messages });
    return completion.choices[0].message.content;
  },
  { name: "answer" },
);

async function read(stream) {
  for await (const _ of await stream);
}

const scenarios = {
  chat: () => inSession("session-1", "ada", () => openai.chat.completions.create(asked(WARRANTY))),
  called: () => inCallersTrace(CALLER, () => openai.chat.completions.create(asked(WARRANTY))),
  called_in_session: () =>
    inCallersTrace(CALLER, () => inSession("session-1", "ada", () => openai.chat.completions.create(asked(WARRANTY)))),
  stream: () => read(openai.chat.completions.create({ ...asked(WARRANTY), ...streamed })),
  stream_without_usage: () => read(openai.chat.completions.create({ ...asked(WARRANTY), stream: true })),
  stream_helper: () => openai.chat.completions.stream({ ...asked(WARRANTY), ...streamed }).finalContent(),
  responses: () => openai.responses.create({ model: "gpt-5-mini", input: WARRANTY }),
  responses_stream: () => read(openai.responses.create({ model: "gpt-5-mini", input: WARRANTY, stream: true })),
  tools: () => agent(WEATHER),
  rag: () => inSession("session-1", "ada", () => answer(WARRANTY)),
  error: () => openai.chat.completions.create({ ...asked(WARRANTY), model: "broken" }).catch(() => {}),
};
await scenarios[process.argv[2]]();
