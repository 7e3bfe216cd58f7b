"""The service skeleton: settings, configuration, logging, clock, adapters, consumer loop, graceful shutdown."""
