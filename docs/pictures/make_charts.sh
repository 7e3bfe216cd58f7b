#!/bin/sh
# Draws the charts that docs/charts.md and the README show, from the recorded candles of MARKET_DATA. Run from the project's root.
set -eu
: "${MARKET_DATA:?name the folder with recorded market data}"
chart() {
    out=$1
    shift
    .venv/bin/cst chart --scale 1 --out "docs/pictures/$out.png" "$@"
}
sol="$MARKET_DATA/ohlcv/binance_spot_SOLUSDT_1m_2022-11.csv.gz"
btc="$MARKET_DATA/ohlcv/binance_spot_BTCUSDT_1m_2023-03_2023-04.csv.gz"
xbt="$MARKET_DATA/ohlcv/kraken_XBTUSD_1h_2013-10_2023-01.csv.gz"
chart chart --candles "$sol" --strategy rsi_divergence --at 2022-11-06T14:45
chart chart_short_light --candles "$sol" --strategy rsi_divergence --at 2022-11-28T15:10 --theme light
chart chart_macd_adx --candles "$xbt" --strategy macd_adx --at 2022-11-12
chart chart_bollinger_light --candles "$xbt" --strategy bollinger --at 2022-11-12 --theme light
chart chart_supertrend --candles "$xbt" --strategy supertrend --at 2022-11-12
chart chart_market --candles "$btc" --at 2023-03-24T15:00
