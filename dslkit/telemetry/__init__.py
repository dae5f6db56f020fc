"""Traces and metrics for OpenTelemetry (`exporting`), errors for Sentry (`errors`): each an extra of its own."""
