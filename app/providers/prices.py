"""What tokens cost, in US dollars: as the operator says, else by the price list that comes with ``genai-prices``."""

from __future__ import annotations

from functools import lru_cache

from genai_prices import Usage as Tokens
from genai_prices import calc_price

from app.providers.addresses import OPENAI_BASE_URL
from app.runner.wire import ProviderSpec

_PER = 1_000_000
_FREE = ("local", "ollama")


def cost_usd(spec: ProviderSpec, prompt_tokens: int, completion_tokens: int) -> float | None:
    """What a request has cost. None: nobody knows a price. The list is that of the day of its release.

    The whole prompt is counted at its full price: what a provider's cache has saved is not known here.
    """
    if spec.prompt_price_usd is not None or spec.reply_price_usd is not None:
        prompt, reply = spec.prompt_price_usd or 0.0, spec.reply_price_usd or 0.0
        return (prompt_tokens * prompt + completion_tokens * reply) / _PER
    if spec.kind in _FREE:
        return 0.0
    return _listed(spec.kind, spec.base_url, spec.model, prompt_tokens, completion_tokens)


@lru_cache(maxsize=1024)
def _listed(kind: str, base_url: str | None, model: str, prompt_tokens: int, completion_tokens: int) -> float | None:
    # A server of one's own may call its model as it likes: only the address says whose price it is.
    tokens = Tokens(input_tokens=prompt_tokens, output_tokens=completion_tokens)
    try:
        if kind == "openai":
            return float(calc_price(tokens, model, provider_api_url=base_url or OPENAI_BASE_URL).total_price)
        return float(calc_price(tokens, model, provider_id=kind).total_price)
    except (LookupError, ValueError):
        return None


for _kind, _base_url in (("openai", None), ("openai", "http://nobody.invalid"), ("azure", None), ("anthropic", None)):
    _listed(_kind, _base_url, "gpt-4o-mini", 1, 1)  # the list's first use takes 15 ms, which a run would stall for
