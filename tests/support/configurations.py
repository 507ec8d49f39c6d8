"""Whole configurations: one with every kind of setting, one with every secret."""

from typing import Any

from qualitrace_monitors.alerts.quantities import FORMS

WHOLE: dict[str, Any] = {
    "data_dir": "data",
    "listen": {"max_request_size": 1_500_001},
    "otlp": {"header_timeout": "250ms", "max_memory": "1.5GiB", "tokens": [{"sha256": "ab" * 32, "tenant": "a"}]},
    "assembly": {"quiet_period": 0, "max_age": "1h30m"},
    "mlflow": {"tracking_uri": "http://mlflow:5000", "retention": {"days": 7.5}},
    "sampling": {"rates": [{"match": {"service": "shop-*", "release": ["1", "2"]}, "rate": 0.5}]},
    "judges": [
        "groundedness",
        {"name": "safety", "model": "openai:/gpt-5-mini", "cascade": True, "budget": {"usd_per_day": 1}},
        {"name": "tone", "definition": "Kind?\nOr not?", "model": "openai:/gpt-5-mini", "examples": [{"outputs": "hi", "score": 1}]},
        {"name": "toxicity", "thresholds": {"pass": 0.8, "fail": 0.1}},
        {"name": "rules", "scorer": "mlflow.Guidelines", "arguments": {"guidelines": ["Be kind."], "depth": 3}},
    ],
    "alerts": [
        {"name": f"rule-{name}", "when": when, **({"judge": "safety"} if FORMS[name].judge == "needed" else {})}
        for name, when in {
            **{name: f"{name} {form.operators[0]} {0.5 if form.unit == 'share' else 3}" for name, form in FORMS.items() if form.operators},
            "no_scores": "no_scores for 15m",
            "no_requests": "no_requests for 90s",
            "slo": "slo 95% over 30d",
        }.items()
    ]
    + [
        {
            "name": "canary",
            "judge": "safety",
            "when": "drop > 0.05 from control",
            "canary": {"release": "2"},
            "control": {"release": "1"},
            "false_alarms": "1% per 7d",
            "labels": {"team": "a"},
            "notify": ["ops", "am"],
        }
    ],
    "budget": {"tokens_per_day": 2_000_000},
    "heartbeat": {"interval": "1m", "notify": ["ops"]},
    "notify": {
        "ops": {"url": "https://hooks.example.com/q"},
        "am": {"kind": "alertmanager", "url": "http://alertmanager:9093"},
    },
}  # fmt: skip

WHSEC = "whsec_c2VjcmV0c2VjcmV0c2VjcmV0"
SECRET: dict[str, Any] = {
    "listen": {"web_token": "hidden-1x", "web_read_token": "hidden-1y"},
    "otlp": {"tokens": [{"token": "hidden-2x"}]},
    "mlflow": {"token": "hidden-3x", "tracking_uri": "https://someone:hidden-4x@mlflow.example.com/?password=hidden-5x"},
    "judges": [
        {"name": "safety", "model": "openai:/gpt-5-mini", "api_key": "hidden-6x", "base_url": "https://u:hidden-7x@llm.example.com"},
        {"name": "rules", "scorer": "mlflow.Guidelines", "arguments": {"api_key": "hidden-8x", "headers": [{"X-Token": "hidden-9x"}]}},
    ],
    "notify": {
        "hook": {"url": "https://h.example.com/?token=hidden-10x", "secret": WHSEC, "username": "u", "password": "hidden-11x"},
        "bearer": {"url": "https://h.example.com/", "bearer_token": "hidden-12x"},
        "am": {"kind": "alertmanager", "url": ["https://am:hidden-13x@am.example.com"], "username": "u", "password": "hidden-14x"},
        "am-2": {"kind": "alertmanager", "url": "https://am.example.com", "bearer_token": "hidden-15x"},
        "chat": {"kind": "apprise", "url": "json://u:hidden-16x@chat.example.com/"},
    },
    "telemetry": {"endpoint": "https://otlp.example.com", "headers": "authorization=Bearer hidden-17x"},
}  # fmt: skip
