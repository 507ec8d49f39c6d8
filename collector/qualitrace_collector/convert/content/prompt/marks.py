"""Tables of marks: what opens material in a prompt, and what shows that a text is not material.

Most prompts carry no material, and lines such as `Knowledge cutoff: 2024` or `# Context` alone mean nothing. So the
text after a mark must also pass a test, the mark's `Proof` for the role of the turn. Every pattern looks at a bounded
part of one line, so that the time to read a prompt is linear in its length.
"""

import re
from enum import Enum, auto
from typing import Literal, NamedTuple

Role = Literal["system", "user"]


class Proof(Enum):
    """What the text after a mark must show, besides words that are not a placeholder, code or mostly orders."""

    # Nothing more.
    FILLED = auto()
    # A statement or labelled parts, and not what users say of themselves unless a question is marked.
    STATED = auto()
    # A statement or labelled parts, nothing that users say of themselves, and a question or an introduction beside.
    ASKED = auto()
    # Two statements, or one with an introduction beside it, and hardly an order.
    FACTS = auto()
    # A statement, hardly an order, and an introduction beside it: a sentence that says to answer from material.
    LED = auto()


class Mark(NamedTuple):
    """A way to mark material, and what proves it in a user's and in a system turn."""

    opens: re.Pattern[str]
    user: Proof
    system: Proof

    def proof(self, role: Role) -> Proof:
        """Return what proves material in a turn of this role."""
        return self.system if role == "system" else self.user


_WORLD = (
    "kontexte?|dokumente|quellen|auszüge|contextes?|extraits|contextos?|documentos|fuentes|fontes|contesto|documenti|"
    "fonti|контекст|документы|источники|konteks|ngữ cảnh|(?:检索|搜索|検索)(?:到的)?"
    "(?:结果|結果|内容)|上下文(?:信息|内容)?|参考(?:内容|资料|信息|資料|情報|文档)|(?:已知|背景)(?:信息|知识)|"
    "知识库(?:内容)?|コンテキスト|文脈|ドキュメント|문맥|컨텍스트|참고 ?자료|"
    "kontekst(?:en|i)?|dokument(?:er|y|umok)|kilder|kontext(?:en|us)|källor|bronnen|documenten|źródła|zdroje|документи|"
    "джерела|bağlam|belgeler|kaynaklar|források|documente|surse|πλαίσιο|έγγραφα|πηγές|السياق|المستندات|الوثائق|المصادر|"
    "הקשר|מסמכים|מקורות|زمینه|اسناد|منابع|संदर्भ|दस्तावेज़|स्रोत|প্রসঙ্গ|บริบท|เอกสาร"
)
_KIND = (
    "contexts?|documents|docs|passages|sources|excerpts|knowledge[ _]base|dataset|"
    "(?:search|retrieval|query|web)[ _]results|(?:context|retrieved|relevant|supporting|provided|source)[ _]"
    f"(?:information|info|data|materials?|texts?|content|knowledge)|{_WORLD}"
)
_LOOSE_KIND = (
    "background(?: information)?|facts|evidence|references|articles?|knowledge|information|extracts?|document|passage|"
    "excerpt|snippets?|chunks?|source text|article section|متن|情報|资料|資料|信息|内容"
)
_REST = (
    "(?:[ _](?:information|info|data|texts?|documents?|passages?|sections?|chunks?|block|below|provided|found|used|"
    "retrieved|from|for|in|on|the|this|question|query|knowledge|base|web|search|results?|database|sources?)){0,5}"
    r"(?: ?\([^()\n]{1,60}\))?"
)
_NAMED = (
    "(?:(?:the|your|our|these|most|new|relevant|retrieved|provided|given|supporting|additional|reference|following|web|"
    "related|top|matching|found|selected|company|internal|external|product|policy|helpful|useful|source|important|key|"
    "potentially|semantically|similar)[ _]){0,3}"
)
_PHRASE = rf"{_NAMED}(?:{_KIND}){_REST}"


def _line(pattern: str) -> re.Pattern[str]:
    return re.compile(rf"(?i)[ \t]*(?:{pattern})[ \t]*\Z")


_CORE = (
    rf"(?:(?:extracted )?parts? of (?:a|the|some) (?:\w+ )?documents?|pieces? of (?:\w+ )?(?:context|information)|"
    rf"document|passage|{_KIND})(?! window)"
)
_POINTED = "(?:following|below|provided|given|retrieved|supplied|extracted|numbered|attached|above|new)"
_BY = (
    r"(?:us(?:e|ing)|given|consider(?:ing)?|based(?: \w+){0,2}? on|from|rely(?:ing)?(?: \w+)? on|according to|"
    r"in light of)"
)
_ANSWERING = r"(?:answer(?:s|ing)?|respon(?:d|se)|reply|questions?)"

# A sentence that says to answer from material. It is not a mark, but weaker marks count beside it.
LEAD = re.compile(
    rf"(?i)(?<!\w)(?:with )?{_BY}(?: only| solely)?(?:(?: the| these| this| some)?(?: {_POINTED}){{1,2}}| this| these)"
    rf"(?: relevant| retrieved| numbered| search)?(?: (?:{_CORE})| (?:articles|information))(?!\w)"
    rf"|(?<!\w){_ANSWERING}(?!\w)[^.:\n]{{0,80}} (?:{_BY}|with(?:in)?|in)(?: only| solely)? (?:the|these|this)"
    rf"(?: (?:{_POINTED}|relevant)){{0,2}} {_CORE}(?!\w)"
    rf"|(?<!\w)given the context information(?!\w)"
    rf"|(?<!\w){_CORE}(?!\w)[^.:\n]{{0,60}} to answer (?:the|a|any|user|their)"
    r"|(?<!\w)(?:folgend|suivant|siguiente|seguinte|seguent|следующ)\w{0,4} [^.:\n]{0,40}"
    rf"(?:informatione?n?|{_WORLD})"
    r"|(?:根据|根據|基于|基於|依据|依據|参考|參考|结合)(?:以下|下面|下列|上述|以上|已知|给定|提供的|检索到的)[^。：:，\n]{0,8}"
    r"(?:上下文|内容|內容|資料|资料|信息|資訊|文档|知识)"
    r"|(?:以下|下記)の(?:情報|コンテキスト|文脈|資料|ドキュメント|文書|検索結果)(?:を|に|から|だけ|のみ|で)"
)

_FORWARD = re.compile(
    rf"(?i)pieces? of (?:\w+ )?context|parts? of (?:a|the|some) (?:\w+ )?documents?|(?<!\w)(?:following|below|these) "
    rf"(?:\w+ )?(?:{_CORE}|information|articles)|{_CORE}(?: \w+)? below|(?:{_CORE}|articles) delimited by"
    r"|using (?:only )?the provided"
)

TAG = re.compile(
    r"(?i)<(/?)((?:(?:retrieved|relevant|search|web|source|reference|background|supporting|provided|additional|rag|kb|"
    r"knowledge|context|document)[_-]){0,2}(?:contexts?|documents?|docs?|passages?|sources?|chunks?|snippets?|"
    r"excerpts?|references?|evidence|knowledge(?:[_-]?base)?)|(?:search|query|web|retrieval)[_-]?results?|"
    r"(?:retrieved|relevant|context|background)[_-](?:information|info|articles?|results?))((?:\s[^<>]{0,300})?)>"
)

# How one of several passages begins: `[1]`, `Document 2:`, `[CONTEXT 0]:`, `Document [3](Title: Tents)`.
LABEL = re.compile(
    r"(?i)[ \t]*(?:\[\^?(?:(?:document|doc|source|passage|chunk|context|reference|ref|snippet|excerpt|result|article)"
    r"[ _#-]?)?(\d{1,3})\][:：]?|[#*\[( \t]{0,8}(?:document|doc|source|passage|chunk|context|excerpt|snippet|"
    r"(?:search )?result|article) ?#?(?:\[(\d{1,3})\](?: ?\([^()\n]{0,200}\))?[:：]?|(\d{1,3})(?: ?\([^()\n]{0,200}\))?"
    r"\**[:：\])]{1,2})\**)"
)

# How material is marked: each opens with a line of its own, but for tags, which may stand anywhere.
#
# The first mark that a line bears counts. A `paragraph` is an introduction that promises material; what comes after
# its blank line or rule is meant.
MARKS: dict[str, Mark] = {
    # Dify prompt_templates/common_chat.json, Open WebUI config.py DEFAULT_RAG_TEMPLATE, Anthropic's long-context tips
    # (<documents>), Bedrock's knowledge bases (<search_results>)
    "tag": Mark(TAG, Proof.FILLED, Proof.FACTS),
    # DSPy adapters/chat_adapter.py
    "field": Mark(_line(rf"\[\[ \#\# (?:\w{{1,20}}_)?(?:{_KIND}|{_LOOSE_KIND}) \#\# \]\]"), Proof.FILLED, Proof.LED),
    # Pinecone's chatbot with the Vercel AI SDK (START CONTEXT BLOCK), GigaChain (BEGIN_CONTEXT)
    "block": Mark(
        _line(
            r"[^\w\n]{0,40}(?:BEGIN|START)(?:[ _]OF)?[ _](?:\w{1,20}[ _])?(?:CONTEXTS?|DOCUMENTS?|SOURCES?|PASSAGES?|"
            r"KNOWLEDGE(?:[ _]BASE)?|SEARCH[ _]RESULTS)(?:[ _]BLOCK)?[\W_]{0,40}"
        ),
        Proof.FILLED,
        Proof.FILLED,
    ),
    # applications that fence their context by its name
    "fence": Mark(_line(r"```[ \t]*(?:context|documents?|sources|passages|search_results)"), Proof.FILLED, Proof.FACTS),
    # LlamaIndex prompts/chat_prompts.py, condense_plus_context.py, citation_query_engine.py; LangChain
    # refine_prompts.py; Spring AI QuestionAnswerAdvisor; RAGFlow chat_api.py; Bedrock
    "said": Mark(
        _line(
            rf"[^\n]{{0,300}}?(?:(?<!\w)(?:(?:here|below|following) (?:is|are)(?!\w)[^.:,\n]{{0,60}} |(?:this is"
            rf"|these are) "
            rf"the )(?:{_CORE}|sources? of information)(?!\w)[^.:\n]{{0,60}}[:：.]"
            rf"|(?<!\w){_CORE}(?!\w)[^.:\n]{{0,40}} (?:is|are) (?:\w+ )?below(?!\w)[^.:\n]{{0,60}}"
            rf"[.:：]?|(?<!\w){_CORE} below[.:：]?)|(?:voici|hier (?:ist|sind)|aqu[ií] (?:está|están|tienes)|ecco) "
            rf"[^.:\n]{{0,40}}(?:{_WORLD})[^.:\n]{{0,40}}:|(?:已知信息|以下は|以下是)[^。：:\n]{{0,20}}[:：]"
        ),
        Proof.FILLED,
        Proof.LED,
    ),
    # Haystack's PromptBuilder, Pinecone's tutorials, azure-search-openai-demo (Sources:), AnythingLLM (Context:),
    # LightRAG (---Context---)
    "heading": Mark(
        _line(
            rf"(?:\*\*|__|[-=]{{2,}}[ \t]*|\[{{1,2}}|<<|【)\**{_PHRASE}[ \t]*[:：]?[-*_=\]>】:： \t]{{0,40}}"
            rf"|{_PHRASE}[ \t]*[:：]"
            r"|(?-i:CONTEXT|DOCUMENTS|SOURCES|PASSAGES|EXCERPTS|KNOWLEDGE BASE|SEARCH RESULTS)"
        ),
        Proof.STATED,
        Proof.FACTS,
    ),
    # Azure's chat-with-your-data (## Retrieved Documents), prompts in Markdown (### Context)
    "title": Mark(_line(rf"#{{1,6}} *\**{_NAMED}(?:{_KIND}){_REST}[*:：# \t]{{0,10}}"), Proof.ASKED, Proof.LED),
    # applications' own templates (Background:, Facts:, References:)
    "loose heading": Mark(
        _line(
            rf"(?:#{{1,6}} *|\*\*|__|[-=]{{2,}} *|\[)?\**{_NAMED}(?:{_LOOSE_KIND}){_REST}\**[ \t]*[:：]\**"
            rf"|#{{1,6}} *{_NAMED}"
            rf"(?:{_LOOSE_KIND}){_REST}|(?-i:BACKGROUND|REFERENCES|EVIDENCE|FACTS)"
        ),
        Proof.ASKED,
        Proof.LED,
    ),
    # LangChain's guides (Answer the question based only on the following context:)
    "lead": Mark(
        _line(rf"[^\n]{{0,400}}?(?:{LEAD.pattern.removeprefix('(?i)')})[^.:：\n]{{0,120}}[:：]"),
        Proof.FILLED,
        Proof.LED,
    ),
    # LangChain hub rlm/rag-prompt, LlamaIndex CHAT_REFINE_PROMPT, txtai's RAG template
    "inline": Mark(
        re.compile(
            rf"(?i)[ \t]*(?:\*\*)?(?:(?:new|retrieved|relevant|given|provided) )?(?:{_KIND}|{_LOOSE_KIND}|text)"
            r"(?:\*\*)?[ \t]*[:：](?:\*\*)?[ \t]*(?=\S)"
        ),
        Proof.ASKED,
        Proof.LED,
    ),
    # Cohere's and Weaviate's numbered sources ([1] … [2] …)
    "numbered": Mark(LABEL, Proof.ASKED, Proof.LED),
    # Semantic Kernel's text search (Name:, Value:, Link:, and a rule)
    "record": Mark(re.compile(r"[ \t]*Name: ?\S"), Proof.FILLED, Proof.FACTS),
    # LangChain stuff_prompt.py, create_stuff_documents_chain; Flowise ConversationalRetrievalQAChain/prompts.ts
    "paragraph": Mark(_FORWARD, Proof.STATED, Proof.LED),
}

_QUESTION_WORDS = (
    "question|query|frage|pregunta|pergunta|domanda|vraag|вопрос|(?:用户)?问题|(?:使用者)?問題|質問|질문|pertanyaan|"
    "câu hỏi|anfrage|pytanie|zapytanie|(?:за)?питання|otázka|dotaz|fråga|spørgsmål|spørsmål|kysymys|kérdés|întrebare|"
    "ερώτηση|soru|(?:ال)?سؤال|سوال|پرسش|שאלה|प्रश्न|सवाल|প্রশ্ন|คำถาม"
)

# How a prompt announces what is asked.
ASK = re.compile(
    rf"(?i)[ \t]*[^\w\n<]{{0,8}}(?:(?:here|this) is )?(?:the )?(?:follow[- ]?up |[^\W\d_]{{1,15}}(?:['’]s)? ){{0,2}}?"
    rf"(?:{_QUESTION_WORDS}|user (?:input|message|request|prompt)|human|user|q)(?: is)?(?: as follows)?"
    r"\**[ \t]*[:：]\**[ \t]*"
    rf"|[ \t]*\#{{1,6}}[ \t]*(?:the )?(?:user(?:['’]s)? )?(?:{_QUESTION_WORDS}|user (?:input|request))[ \t]*\Z"
    r"|[ \t]*\[\[ \#\# (?:question|query) \#\# \]\][ \t]*\Z"
    r"|[^\n]{0,80}?answer (?:the |this |my )?(?:following )?(?:user(?:['’]s)? )?(?:question|query)"
    r"(?:(?! following| below)[^:\n]){0,80}[:：][ \t]*(?=\S)"
)

ASK_TAG = re.compile(r"(?i)<(question|query|user[_-](?:query|question|input|message|request|prompt))>")

# The stub after which the model is to write; with text after it, an example or a part of the material.
ANSWER = re.compile(
    r"(?i)[ \t]*[^\w\n]{0,8}(?:(?:helpful|final|new|refined|your|concise|detailed|full|полезный|полный|nützliche) )?"
    r"(?:answer|response|antwort|respuesta|resposta|risposta|réponse|ответ|回答|答案|答え|답변|a|antwoord|odpowiedź|"
    r"відповідь|odpověď|svar|vastaus|válasz|răspuns|απάντηση|cevap|yanıt|jawaban|(?:câu )?trả lời|الإجابة|الجواب|پاسخ|"
    r"תשובה|उत्तर|जवाब|উত্তর|คำตอบ)(?:\**[ \t]*[:：]\**"
    r"|(?<=\w\w)[*#\] \t]{0,8}\Z)"
)

# Lines by which a prompt goes on to something else after its material.
STOP = re.compile(
    r"(?i)[ \t]*[#*\[_=-]{0,8}[ \t]*(?:(?:original|existing|previous) answer[ \t]*[:：]|we have (?:provided an|the opp)"
    r"|(?:(?:important |answering |strict )?(?:instructions?|rules|guidelines|constraints)|(?:your )?task|"
    r"(?:output|answer|response) format|output|(?:chat|conversation|dialogue) history|assistant|relevant text, if any)"
    r"[ \t]*\**[:：]|(?:instructions?|rules|guidelines|constraints|output format|(?:your )?task)[ \t*#=\]-]*\Z"
    r"|(?:given|using|use|based on|from|with|according to|relying on) (?:only )?(?:the|this|these|all)(?: new| above"
    r"| provided)? "
    r"(?:context|information|sources?|documents?|search results|text|material|data|knowledge)\b"
    r"|the above (?:is|are)\b|answer the (?:user|question|query|above)|when answer|now (?:answer|here is|use)"
    r"|follow these "
    r"|if the (?:answer|context|information|question)\b|if you (?:do not|don't|cannot|can't) "
    r"|(?:please )?(?:provide|give|write|include|cite|respond|reply)\b[^\n]{0,80}\b(?:answer|citations?|response|"
    r"question|sources?|information)|remember\b|your (?:task|job|goal) |ai assistant will |you (?:must|should|are) "
    r"|\[\[ \#\# |respond with the corresponding output|(?:根据|基于)(?:上述|以上)|以上(?:是|は))"
)

# What ends a question.
QUESTION_MARKS = ("?", "？", "؟")

# The line that closes a `block`.
END = re.compile(r"(?i)[ \t]*[^\w\n]{0,40}END(?:[ _]OF)?[ _](?:\w{1,20}[ _])?[A-Z]{4,}\b(?![ _]?\d)")

# A sentence that instructs the model instead of stating something.
TO_MODEL = re.compile(
    r"(?i)[^\w]*(?:\d+[.)] *)?(?:you(?:['’](?:re|ll)| (?:are|must|should|will|can|may|have|need|cannot|do))\b|your\b|"
    r"(?:please |always |never |only |just |only ever |strictly |now )*(?:ignore|disregard|forget|act as|pretend"
    r"|respond|reply|answer|"
    r"say|reveal|output|return|use|write|make sure|ensure|provide|include|avoid|be|keep|follow|cite|quote|give|explain|"
    r"list|format|generate|create|remember|assume|treat|focus|think|consider|analy[sz]e|check|ask|call|state|mention|"
    r"summari[sz]e|refer|rely|start|begin|end|do|don['’]t|try|maintain|match|help|let|select|choose|invent|apply|"
    r"add|set|adapt|adopt|present|identify|describe|determine|produce|extract|review|read|take|run|limit"
    r"|stay)\b(?![ \t]*[:：])|"
    r"(?:always|never|only|must|please)\b|"
    r"(?:if|when|whenever|once|before|after|unless) (?:the user|users|you|asked|the (?:answer|question|context)"
    r"|a user)\b|"
    r"i (?:want|need|would like) you\b|(?:the )?(?:assistant|model|chatbot|ai) (?:assistant )?(?:is|must|should|will"
    r"|can|has|does)\b|"
    r"[^.!?\n]{0,80}\b(?:the user|the assistant|your (?:answer|response|task|role|goal)|you (?:must|should|are|can"
    r"|will))\b)"
)

# What an instruction of a template is about, unlike a wish of the user's.
ABOUT_ANSWERS = re.compile(
    r"(?i)\b(?:contexts?|sources?|documents?|passages?|information|citations?|cite|knowledge|know the answer"
    r"|don['’]t know|"
    r"make up|assistant|sentences maximum|questions?|quer(?:y|ies)|search results|rules?|user comment|provided)\b"
)

# The beginning of what users say about themselves. Thai writes no spaces, and a sign of a vowel ends no word for `\b`.
OWN_WORDS = re.compile(
    r"\W*(?:(?:I|I['’](?:m|ve|d|ll)|My|We|We['’](?:re|ve)|Our|Ich|Mein|Wir|Je|Mon|Yo|Mi|Eu|Meu|Jeg|Jag|Ik|Mijn|Minä|"
    r"Minun|Én|Benim|Я|Мой|Моя|Мій|Εγώ|أنا|لدي|عندي|אני|मैं|मेरा|मेरी|मेरे|আমি|আমার)(?!\w)|ฉัน|ผม)"
)

# A whole text that only holds the place of one.
PLACEHOLDER = re.compile(
    r"(?is)\W*(?:\{\{?[^{}]{0,80}\}?\}|\$\w{1,40}\$?|<[^<>]{0,80}>|\[[^\[\]]{0,80}\]|%\w{1,40}%|n/?a|none|null|empty"
    r"|\.{3}|…|"
    r"insert [^.\n]{1,40} here|no (?:relevant |matching )?(?:context|documents?|information|results?|sources?"
    r"|passages?)[^.\n]{0,60}|"
    r"(?:your |the |insert )?(?:context|documents?|text|content) (?:here|goes here))?\W*"
)

# Attributes that make <source> and <article> those of HTML, unless they bear a number or a name too.
HTML_SOURCE = re.compile(r"(?i)\s(?:src|srcset|type|media|href|class|style)\s*=")

# What a prompt says about the place and time in which an agent runs, which nobody asks about.
ENVIRONMENT = re.compile(
    r"(?i)\W*(?:(?:the |my |user['’]?s? |today['’]?s )?(?:current |local )?(?:date|time|timezone|time zone|os|"
    r"operating system|user|workspace|working directory)\b[^.\n]{0,60}(?: is|[:：])|today is\b|platform[:：])"
)

# The beginning of a line of code, markup or a table.
CODE = re.compile(r"[ \t]*(?:[<`|}\])]|(?:import|export|def|class|const|let|var|return) )")

# The end of a line of code.
CODE_ENDS = ("{", "}", ";")

# Every line of ASCII that opens material, mentions it or asks contains one of these words. Looking for them first
# spares most other lines the patterns above.
HINTS = tuple(
    "text: q: a: context kontext contest document dokument docs passage source quelle fuente fonte excerpt knowledge "
    "dataset result "
    "information info background fact evidence reference article extract snippet chunk part question query frage "
    "pregunta pergunta domanda vraag pertanyaan human user answer respon antwort respuesta resposta risposta "
    "konteks folgend suivant siguiente seguinte seguent kilder bronnen zdroje belgeler kaynaklar surse anfrage pytanie "
    "dotaz kysymys soru antwoord svar vastaus cevap jawaban".split()
)
