"""The shapes that providers give to their keys and tokens: what one starts with, and what follows.

The facts are published: by the providers, and by the rules of gitleaks (config/gitleaks.toml) and detect-secrets
(detect_secrets/plugins). The lengths here are lower bounds: a provider may make its keys longer, and the start is what
tells them apart.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Shape:
    """A kind of key.

    Attributes:
        issuer: who makes it.
        starts: what it begins with; one of these is in the text, character for character.
        rest: an expression of what follows the start.
        within_words: whether it is one, too, after a letter or digit. Not for starts that words may end in.
        before: the characters of the key that come before its start, where that is not its beginning.
        least_before: how many of them there are at least.
    """

    issuer: str
    starts: tuple[str, ...]
    rest: str
    within_words: bool = True
    before: str = ""
    least_before: int = 0


SHAPES = (
    Shape(
        "AWS",
        ("AKIA", "ASIA", "ABIA", "ACCA"),
        # The secret, which has no shape of its own, often follows the id: in tables and commands.
        r"(?=[A-Z]{0,15}\d)[A-Z0-9]{16}(?:[ \t,:|]{1,3}[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+=]))?",
        within_words=False,
    ),
    Shape("AWS", ("ABSK",), r"[A-Za-z0-9+/]{60,}={0,2}", within_words=False),
    Shape("AWS", ("bedrock-api-key-",), r"[A-Za-z0-9+/=]{16,}"),
    Shape("Anthropic", ("sk-ant-",), r"[\w-]{16,}"),
    Shape("OpenAI", ("sk-proj-", "sk-svcacct-", "sk-admin-", "sk-None-"), r"[\w-]{16,}"),
    Shape("OpenAI, DeepSeek, Moonshot", ("sk-",), r"(?=[A-Za-z]{0,40}\d)[A-Za-z0-9]{20,}", within_words=False),
    Shape("OpenRouter", ("sk-or-",), r"[\w-]{20,}", within_words=False),
    Shape("Langfuse", ("sk-lf-",), r"[\w-]{20,}", within_words=False),
    Shape("LangSmith", ("lsv2_pt_", "lsv2_sk_"), r"\w{20,}"),
    Shape("Google", ("AIza",), r"[\w-]{30,}"),
    Shape("Google", ("ya29.",), r"[\w.-]{20,}"),
    Shape("Google", ("GOCSPX-",), r"[\w-]{20,}"),
    Shape("GitHub", ("ghp_", "gho_", "ghu_", "ghs_", "ghr_"), r"[A-Za-z0-9]{30,}"),
    Shape("GitHub", ("github_pat_",), r"\w{30,}"),
    Shape("GitLab", ("glpat-", "gldt-", "glrt-", "glptt-", "glcbt-", "gloas-", "glsoat-"), r"[\w.-]{20,}"),
    Shape("Slack", tuple(f"xox{kind}-" for kind in "abceoprs"), r"[\w-]{10,}"),
    Shape("Slack", ("xapp-",), r"[\w-]{20,}"),
    Shape("Slack", ("hooks.slack.com/services/", "hooks.slack.com/workflows/"), r"[\w/]{20,}"),
    Shape("Discord", ("discord.com/api/webhooks/", "discordapp.com/api/webhooks/"), r"\d{10,}/[\w-]{30,}"),
    Shape("Hugging Face", ("hf_", "api_org_"), r"[A-Za-z0-9]{30,}", within_words=False),
    Shape("Stripe", tuple(f"{k}_{mode}_" for k in ("sk", "rk") for mode in ("live", "test", "prod")), r"\w{10,}"),
    Shape("Stripe, Standard Webhooks", ("whsec_",), r"[A-Za-z0-9+/=]{16,}"),
    Shape("Azure", ("JQQJ99",), r"[A-Za-z0-9]{20,}={0,2}", before="[A-Za-z0-9]", least_before=40),
    Shape("Azure", ("Q~",), r"[\w~.-]{31,}", before=r"[\w~.-]", least_before=4),
    Shape("Groq", ("gsk_",), r"[A-Za-z0-9]{20,}", within_words=False),
    Shape("xAI", ("xai-",), r"[A-Za-z0-9]{20,}", within_words=False),
    Shape("Cerebras", ("csk-",), r"[A-Za-z0-9]{20,}", within_words=False),
    Shape("Perplexity", ("pplx-",), r"[A-Za-z0-9]{20,}"),
    Shape("NVIDIA", ("nvapi-",), r"[\w-]{20,}"),
    Shape("Replicate", ("r8_",), r"[A-Za-z0-9]{20,}", within_words=False),
    Shape("Pinecone", ("pcsk_",), r"\w{20,}"),
    Shape("Tavily", ("tvly-",), r"[\w-]{16,}"),
    Shape("Databricks", ("dapi",), r"[0-9a-f]{32}", within_words=False),
    Shape("SendGrid", ("SG.",), r"[\w-]{16,}\.[\w-]{16,}", within_words=False),
    Shape("Twilio", ("SK",), r"[0-9a-f]{32}", within_words=False),
    Shape("npm", ("npm_",), r"[A-Za-z0-9]{30,}"),
    Shape("PyPI", ("pypi-AgE",), r"[\w-]{30,}"),
    Shape("DigitalOcean", ("dop_v1_", "doo_v1_", "dor_v1_"), r"[0-9a-f]{40,}"),
    Shape("Grafana", ("glc_", "glsa_"), r"[\w+/=]{32,}"),
    Shape("Hashicorp Vault", ("hvs.", "hvb."), r"[\w-]{20,}"),
    Shape("Shopify", ("shpat_", "shpca_", "shppa_", "shpss_"), r"[0-9A-Fa-f]{32}"),
    Shape("Linear", ("lin_api_",), r"[A-Za-z0-9]{30,}"),
    Shape("ElevenLabs", ("sk_",), r"[0-9a-f]{40,}", within_words=False),
    Shape("Notion", ("ntn_",), r"[A-Za-z0-9]{30,}"),
    Shape("Postman", ("PMAK-",), r"[0-9a-f-]{40,}"),
    Shape("Telegram", (":AA",), r"[\w-]{32,}", before=r"\d", least_before=8),
    Shape("age", ("AGE-SECRET-KEY-1",), r"[A-Z0-9]{50,}"),
    # JSON Web Tokens and signed cookies: `{"` begins with eyJ in base64.
    Shape("JWT", ("eyJ",), r"[\w-]{8,2000}\.[\w-]{8,}(?:\.[\w-]*){0,3}", within_words=False),
)
