"""A question-answering app: finds the passage of a handbook that fits a question, answers with its best sentence.

python app.py [--port 8000] [--retriever tfidf|broken]: POST /answer {"question": …} → {"answer": …, "context": […]}
"""

import argparse
import re

import uvicorn
from sklearn.feature_extraction.text import TfidfVectorizer
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

import qualitrace

HANDBOOK = [
    "Every bicycle is delivered within six working days. Delivery to islands takes ten working days.",
    "A bicycle may be returned within thirty days of delivery. The buyer pays for the return.",
    "The frame has a guarantee of eight years. Brakes, chain and tyres have a guarantee of one year.",
    "The workshop is open from Tuesday to Saturday, from nine to six. It is closed on public holidays.",
    "A first inspection after two hundred kilometres is free of charge. Later inspections cost forty euros.",
    "The battery of the city model lasts for seventy kilometres. It is charged in four hours.",
    "Bicycles can be hired for twenty euros a day. For a hire an identity card is needed.",
    "Payment is by card, by bank transfer or in three instalments. Instalments are free of interest.",
]
SMALL_WORDS = "english"


class Search:
    """Ranks texts by the words that they share with a question."""

    def __init__(self, texts: list[str]) -> None:
        self._texts = texts
        self._words = TfidfVectorizer(stop_words=SMALL_WORDS, ngram_range=(1, 2), sublinear_tf=True)
        self._matrix = self._words.fit_transform(texts)

    def best(self, question: str) -> str:
        """Return the text that fits best."""
        return self._texts[(self._matrix @ self._words.transform([question]).T).toarray().argmax()]


passages = Search(HANDBOOK)


@qualitrace.trace(kind="retriever")
def retrieve(question: str, retriever: str) -> list[str]:
    """Find the passage to answer from; the broken one always finds the same."""
    return [HANDBOOK[-1] if retriever == "broken" else passages.best(question)]


@qualitrace.trace
def answer(question: str, retriever: str = "tfidf") -> dict[str, object]:
    """Answer with the sentence of the passage that fits best."""
    context = retrieve(question, retriever)
    sentences = re.split(r"(?<=\.)\s+", " ".join(context))
    return {"answer": Search(sentences).best(question), "context": context}


def main() -> None:
    """Serve the app."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--retriever", choices=("tfidf", "broken"), default="tfidf")
    options = parser.parse_args()

    async def respond(request: Request) -> JSONResponse:
        return JSONResponse(answer((await request.json())["question"], options.retriever))

    uvicorn.run(Starlette(routes=[Route("/answer", respond, methods=["POST"])]), port=options.port, log_level="warning")


if __name__ == "__main__":
    main()
