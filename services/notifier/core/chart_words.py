"""The few words on a chart, one entry per language; a language without its own gets English."""

from typing import Final

import msgspec


class ChartWords(msgspec.Struct, frozen=True, kw_only=True):
    """What stands in a picture besides names and figures."""

    long: str
    short: str
    entry: str
    take_profit: str
    stop_loss: str
    exit: str
    last: str
    volume: str
    bias: str
    no_bias: str
    binding: str
    entered: str
    ended: str
    conditions: str
    exit_reason: dict[str, str]


_ENGLISH: Final = ChartWords(
    long="LONG",
    short="SHORT",
    entry="Entry",
    take_profit="TP",
    stop_loss="SL",
    exit="Exit",
    last="Last",
    volume="Volume",
    bias="Macro bias",
    no_bias="none",
    binding="binding",
    entered="entry {time}",
    ended="exit {time}",
    conditions="Conditions",
    exit_reason={"tp": "TP", "sl": "SL", "expired": "EXPIRED", "reversed": "REVERSED"},
)
_VIETNAMESE: Final = ChartWords(
    long="MUA",
    short="BÁN",
    entry="Vào lệnh",
    take_profit="Chốt lời",
    stop_loss="Cắt lỗ",
    exit="Thoát",
    last="Giá",
    volume="Khối lượng",
    bias="Xu hướng vĩ mô",
    no_bias="không có",
    binding="ràng buộc",
    entered="vào {time}",
    ended="thoát {time}",
    conditions="Điều kiện",
    exit_reason={"tp": "CHỐT LỜI", "sl": "CẮT LỖ", "expired": "HẾT HẠN", "reversed": "ĐẢO CHIỀU"},
)
_WORDS: Final = {"en": _ENGLISH, "vi": _VIETNAMESE}


def chart_words(language: str) -> ChartWords:
    """The words of the language, English where it has none."""
    return _WORDS.get(language, _ENGLISH)
