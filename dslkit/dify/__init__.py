"""Dify workflows: plan, compile, check, repair, draw, and a dry run on Dify's own engine.

Pure but for the engine: text in, values out; no network, no language model.
"""
