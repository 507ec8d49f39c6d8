// Vercel's AI SDK: `node app.mjs SCENARIO`.
import { inSession } from "./tracing.mjs";
import "./vercel-ai.mjs";
import { openai } from "@ai-sdk/openai";
import { traceChain } from "@arizeai/openinference-core";
import { ToolLoopAgent, generateText, isStepCount, streamText, tool } from "ai";
import { z } from "zod";
import { retriever } from "./steps.mjs";

const model = openai("gpt-5-mini");
const WARRANTY = "How long is the warranty of a tent?";
const WEATHER = "What is the weather in Oslo?";
const tools = {
  get_weather: tool({
    description: "Tell the weather of a city.",
    inputSchema: z.object({ city: z.string() }),
    execute: async () => "18 degrees, sunny",
  }),
};

const TEXTS = [
  "Tents have a warranty of 24 months.",
  "Sleeping bags are washed at 30 degrees.",
  "The shop in Oslo opens at 9.",
];
const search = retriever(async () => TEXTS);

const answer = traceChain(
  async (question) => {
    const instructions = `Answer from these passages:\n\n${(await search(question)).join("\n\n")}`;
    return (await generateText({ model, instructions, prompt: question })).text;
  },
  { name: "answer" },
);

const scenarios = {
  chat: () => inSession("session-1", "ada", () => generateText({ model, prompt: WARRANTY })),
  runtime_context: () =>
    generateText({
      model,
      prompt: WARRANTY,
      runtimeContext: { sessionId: "session-1", userId: "ada" },
      telemetry: { includeRuntimeContext: { sessionId: true, userId: true } },
    }),
  chat_completions: () => generateText({ model: openai.chat("gpt-5-mini"), instructions: "Be short.", prompt: WARRANTY }),
  stream: async () => {
    for await (const _ of streamText({ model, prompt: WARRANTY }).textStream);
  },
  tools: () => generateText({ model, tools, stopWhen: isStepCount(5), prompt: WEATHER }),
  agent_stream: async () => {
    const result = await new ToolLoopAgent({ model, tools }).stream({ prompt: WEATHER });
    for await (const _ of result.textStream);
  },
  rag: () => inSession("session-1", "ada", () => answer(WARRANTY)),
  error: () => generateText({ model: openai("broken"), maxRetries: 0, prompt: WARRANTY }).catch(() => {}),
};
await scenarios[process.argv[2]]();
