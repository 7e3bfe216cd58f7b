"""The fast path: whole series in one kernel call, no records. Equal in trades to the exact path, which tests show."""


def warm_up() -> list[str]:
    """Load (or compile into the cache) every kernel here; returns their names."""
    from importlib import import_module

    from shared.indicators.compiled import kernel_names

    for name in ("accounts", "life", "macd", "windows"):
        import_module(f"research.fast.{name}")
    return kernel_names("research.fast")
