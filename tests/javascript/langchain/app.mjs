// LangChain.js and LangGraph.js: `node app.mjs SCENARIO`.
import { inSession } from "./tracing.mjs";
import "./langchain.mjs";
import { traceChain } from "@arizeai/openinference-core";
import { Document } from "@langchain/core/documents";
import { StringOutputParser } from "@langchain/core/output_parsers";
import { ChatPromptTemplate } from "@langchain/core/prompts";
import { BaseRetriever } from "@langchain/core/retrievers";
import { RunnableLambda, RunnablePassthrough, RunnableSequence } from "@langchain/core/runnables";
import { tool } from "@langchain/core/tools";
import { Annotation, END, MemorySaver, START, StateGraph } from "@langchain/langgraph";
import { ChatOpenAI } from "@langchain/openai";
import { createAgent } from "langchain";
import { z } from "zod";

const WARRANTY = "How long is the warranty of a tent?";
const WEATHER = "What is the weather in Oslo?";
const TEXTS = [
  "Tents have a warranty of 24 months.",
  "Sleeping bags are washed at 30 degrees.",
  "The shop in Oslo opens at 9.",
];
const USUAL = "Answer the question based only on the following context:\n{context}\n\nQuestion: {question}\n";
const model = (name = "gpt-5-mini") => new ChatOpenAI({ model: name, maxRetries: 0, streamUsage: true });
const asked = (content) => ({ messages: [{ role: "user", content }] });

// Finds all documents.
class Shelf extends BaseRetriever {
  lc_namespace = ["shop"];

  async _getRelevantDocuments() {
    return TEXTS.map((pageContent, n) => new Document({ pageContent, metadata: { source: `faq-${n}.md` } }));
  }
}

const joined = (documents) => documents.map((document) => document.pageContent).join("\n\n");

function chain(template = USUAL, name = "gpt-5-mini") {
  return RunnableSequence.from([
    { context: new Shelf().pipe(joined), question: new RunnablePassthrough() },
    ChatPromptTemplate.fromTemplate(template),
    model(name),
    new StringOutputParser(),
  ]);
}

const getWeather = tool(async () => "18 degrees, sunny", {
  name: "get_weather",
  description: "Tell the weather of a city.",
  schema: z.object({ city: z.string() }),
});

async function read(stream) {
  for await (const _ of await stream);
}

function graph() {
  const State = Annotation.Root({ question: Annotation(), context: Annotation(), answer: Annotation() });
  return new StateGraph(State)
    .addNode("retrieve", async ({ question }) => ({ context: joined(await new Shelf().invoke(question)) }))
    .addNode("generate", async ({ question, context }) => {
      const prompt = USUAL.replace("{context}", context).replace("{question}", question);
      return { answer: (await model().invoke(prompt)).content };
    })
    .addEdge(START, "retrieve")
    .addEdge("retrieve", "generate")
    .addEdge("generate", END)
    .compile();
}

// The model's call does not know the chain's: the function did not pass its config on.
const forgetful = RunnableLambda.from(async (question) => (await model().invoke(question)).content);

async function conversation() {
  const agent = createAgent({ model: model(), tools: [], checkpointer: new MemorySaver() });
  for (const said of ["My name is Ada.", "What is my name?"]) {
    await inSession("session-1", "ada", () => agent.invoke(asked(said), { configurable: { thread_id: "thread-1" } }));
  }
}

const scenarios = {
  chat: () => model().invoke(WARRANTY),
  stream: () => read(model().stream(WARRANTY)),
  rag: () => inSession("session-1", "ada", () => chain().invoke(WARRANTY)),
  rag_stream: () => read(chain().stream(WARRANTY)),
  rag_stream_without_labels: () => read(chain("{context}\n\n{question}").stream(WARRANTY)),
  rag_error: () => chain(USUAL, "broken").invoke(WARRANTY).catch(() => {}),
  agent: () => createAgent({ model: model(), tools: [getWeather] }).invoke(asked(WEATHER)),
  agent_stream: () =>
    read(createAgent({ model: model(), tools: [getWeather] }).stream(asked(WEATHER), { streamMode: "messages" })),
  step: () => traceChain((question) => forgetful.invoke(question), { name: "answer" })(WARRANTY),
  graph: () => graph().invoke({ question: WARRANTY }),
  conversation,
};
await scenarios[process.argv[2]]();
