// Sends one trace of two spans with OpenTelemetry's SDK for JavaScript and prints its ids.
// Usage: node send.cjs json|proto|grpc URL none|gzip
const { SpanKind, SpanStatusCode, context, trace } = require("@opentelemetry/api");
const { BatchSpanProcessor, NodeTracerProvider } = require("@opentelemetry/sdk-trace-node");

const [, , kind, url, compression] = process.argv;
const { OTLPTraceExporter } = require(
  { json: "@opentelemetry/exporter-trace-otlp-http", proto: "@opentelemetry/exporter-trace-otlp-proto",
    grpc: "@opentelemetry/exporter-trace-otlp-grpc" }[kind]);

const provider = new NodeTracerProvider({
  spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter({ url, compression }))],
});
const tracer = provider.getTracer("javascript-client", "1.2.3");

const root = tracer.startSpan("ask");
const chat = tracer.startSpan(
  "chat gpt-4o-mini",
  {
    kind: SpanKind.CLIENT,
    attributes: {
      "gen_ai.prompt": "Wie geht's? こんにちは 😀",
      "cut.in.half": "😀".slice(0, 1),
      "gen_ai.usage.input_tokens": 14,
      "large": 9007199254740991,
      "gen_ai.request.temperature": 0.5,
      "gen_ai.stream": true,
      "gen_ai.response.finish_reasons": ["stop", "length"],
    },
    links: [{ context: root.spanContext() }],
  },
  trace.setSpan(context.active(), root),
);
chat.addEvent("first token", { "gen_ai.index": 0 });
chat.setStatus({ code: SpanStatusCode.ERROR, message: "cut off" });
chat.end();
root.end();

provider.shutdown().then(() => {
  console.log(JSON.stringify({ trace: root.spanContext().traceId, root: root.spanContext().spanId,
    chat: chat.spanContext().spanId }));
});
