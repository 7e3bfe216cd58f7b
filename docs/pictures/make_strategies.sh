#!/bin/sh
# Draws the charts that docs/strategies.md shows, from the recorded candles of MARKET_DATA. Run from the project's root.
set -eu
: "${MARKET_DATA:?name the folder with recorded market data}"
xbt="$MARKET_DATA/ohlcv/kraken_XBTUSD_1h_2013-10_2023-01.csv.gz"
for strategy in rsi_divergence macd_adx continuation reversal ema_cross bollinger ema_atr donchian supertrend; do
    .venv/bin/cst chart --scale 1 --candles "$xbt" --strategy $strategy --at 2022-11-10 --out "docs/pictures/strategy_$strategy.png"
done
sol="$MARKET_DATA/ohlcv/binance_spot_SOLUSDT_1m_2022-11.csv.gz"
.venv/bin/cst chart --scale 1 --candles "$sol" --strategy rsi_momentum --at 2022-11-10T12:00 --out docs/pictures/strategy_rsi_momentum.png
btc="$MARKET_DATA/ohlcv/binance_spot_BTCUSDT_1m_2023-03_2023-04.csv.gz"
all="--config config/all-strategies.yaml"
.venv/bin/cst chart --scale 1 --candles "$btc" $all --strategy macd_unified --at 2023-04-20 --out docs/pictures/strategy_macd_unified.png
.venv/bin/cst chart --scale 1 --candles "$btc" $all --strategy manager --at 2023-04-20 --out docs/pictures/strategy_manager.png
.venv/bin/cst chart --scale 1 --candles "$xbt" $all --strategy mtf_score_1h --at 2022-11-10 --out docs/pictures/strategy_mtf_score.png
