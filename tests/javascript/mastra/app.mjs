// Mastra: `node app.mjs SCENARIO`.
import { inSession } from "./tracing.mjs";
import { observability } from "./mastra.mjs";
import { openai } from "@ai-sdk/openai";
import { Agent } from "@mastra/core/agent";
import { Mastra } from "@mastra/core/mastra";
import { createTool } from "@mastra/core/tools";
import { createStep, createWorkflow } from "@mastra/core/workflows";
import { z } from "zod";

const WARRANTY = "How long is the warranty of a tent?";
const WEATHER = "What is the weather in Oslo?";

const weather = (execute) =>
  createTool({
    id: "get_weather",
    description: "Tell the weather of a city.",
    inputSchema: z.object({ city: z.string() }),
    execute,
  });
const get_weather = weather(async () => "18 degrees, sunny");
const found = weather(async () => ({ documents: [{ text: "18 degrees, sunny" }, { text: "Ferries leave at 9." }] }));

const agent = (name, tools = {}, model = "gpt-5-mini") =>
  new Agent({ id: name, name, instructions: "Be short.", model: openai(model), tools, maxRetries: 0 });

const answer = createStep({
  id: "answer",
  inputSchema: z.object({ question: z.string() }),
  outputSchema: z.object({ answer: z.string() }),
  execute: async ({ inputData, mastra }) => ({
    answer: (await mastra.getAgent("shop").generate(inputData.question)).text,
  }),
});
const desk = createWorkflow({ id: "desk", inputSchema: answer.inputSchema, outputSchema: answer.outputSchema })
  .then(answer)
  .commit();

const mastra = new Mastra({
  agents: {
    shop: agent("shop"),
    weather: agent("weather", { get_weather }),
    search: agent("search", { get_weather: found }),
    broken: agent("broken", {}, "broken"),
  },
  workflows: { desk },
  observability,
  logger: false,
});

async function read(stream) {
  for await (const _ of (await stream).textStream);
}

const scenarios = {
  chat: () => inSession("session-1", "ada", () => mastra.getAgent("shop").generate(WARRANTY)),
  stream: () => read(mastra.getAgent("shop").stream(WARRANTY)),
  tools: () => mastra.getAgent("weather").generate(WEATHER),
  tools_stream: () => read(mastra.getAgent("weather").stream(WEATHER)),
  metadata: () =>
    mastra.getAgent("shop").generate(WARRANTY, { tracingOptions: { metadata: { sessionId: "session-1", userId: "ada" } } }),
  rag: () => mastra.getAgent("search").generate(WEATHER),
  workflow: async () => {
    const run = await mastra.getWorkflow("desk").createRun();
    await run.start({ inputData: { question: WARRANTY } });
  },
  error: () => mastra.getAgent("broken").generate(WARRANTY).catch(() => {}),
};
await scenarios[process.argv[2]]();
