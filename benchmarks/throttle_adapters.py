# ruff: noqa: F821 - `adapter` is put in place by whoever loads this file
"""dslkit as two adapters for a driver of throttling benchmarks: the plain client under gather, and complete_many."""

from pathlib import Path


def _settings(job):
    from dslkit.settings import Settings

    return Settings(home=Path(job.share or job.wd), openai_api_key="sk-x", openai_base_url=job.base_url, _env_file=None)


def _limits(job):
    from dslkit.llm.limits import UNLIMITED, Limits

    if not (job.R or job.T):
        return UNLIMITED
    return Limits(requests=job.R or None, tokens=job.T or None, window_s=job.W, concurrency=job.conc)


@adapter("dslkit-client", "dslkit", scen="abb2cdefgh", retries=5, share=True)
async def dslkit_client(job):
    """The plain client, everything gathered at once."""
    import dslkit

    client = dslkit.async_openai_client(settings=_settings(job), limits=_limits(job), timeout=60)
    job.start()
    await job.each(lambda number: client.chat.completions.create(**job.kw(number)), sem=False)


@adapter("dslkit", "dslkit", scen="abb2cdefgh", share=True)
async def dslkit_many(job):
    """acomplete_many: requests pulled lazily, answers as they finish."""
    import dslkit.connect

    asks = ((number, job.kw(number)) for number in job.ids)
    results = dslkit.connect.acomplete_many(
        asks, settings=_settings(job), limits=_limits(job), at_once=job.conc, timeout=60
    )
    job.start()
    async for done in results:
        job.ok(done.key) if done.error is None else job.fail(done.key, done.error)
