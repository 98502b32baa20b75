"""What a user says of a network: by options, or by a contract."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from edgefill.model.interface import Mask, Range

_CONVENTIONS = ("mask", "range", "order", "sees")  # keys of a contract that a trial can refute


@dataclass(frozen=True)
class Told:
    """What a user says of a network; None is to be found out. ``contract`` is any part of an interface."""

    mask_input: str | None = None
    output: str | None = None
    parts: tuple[str, ...] | None = None
    layout: str | None = None
    range: Range | None = None
    output_range: Range | None = None
    mask_means: str | None = None  # "known" or "hole": what the larger value of the mask means
    mask: Mask | None = None
    order: str | None = None
    sees: str | None = None
    side: int | None = None
    contract: Mapping[str, Any] = field(default_factory=dict)

    @property
    def claims(self) -> dict[str, Any]:
        """The conventions among it, by the names of ASPECTS; True is what only the contract says."""
        values: dict[str, Any] = {
            "parts": self.parts,
            "output": self.output,
            "range": self.range,
            "output_range": self.output_range,
            "mask": self.mask or self.mask_means,
            "order": self.order,
            "sees": self.sees,
        }
        claims: dict[str, Any] = {key: value for key, value in values.items() if value is not None}
        drawn = self.contract.get("output", {})
        named = {"output": "name" in drawn, "output_range": "range" in drawn}
        claims |= dict.fromkeys((key for key in _CONVENTIONS if key in self.contract), True)
        return claims | dict.fromkeys((key for key, is_said in named.items() if is_said), True)

    @property
    def structure(self) -> Told:
        """Without the claims that a trial can refute."""
        contract = {key: value for key, value in self.contract.items() if key not in _CONVENTIONS}
        if isinstance(contract.get("output"), dict):
            contract["output"] = {key: value for key, value in contract["output"].items() if key != "range"}
        return Told(
            mask_input=self.mask_input,
            output=self.output,
            layout=self.layout,
            side=self.side,
            contract=contract,
        )
