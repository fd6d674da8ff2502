"""The formats by name."""

from curate.exports.axolotl import Axolotl
from curate.exports.base import Format
from curate.exports.llama_factory import LlamaFactory
from curate.exports.ms_swift import MsSwift
from curate.exports.openrlhf import OpenRlhf
from curate.exports.trl import Trl, TrlText
from curate.exports.verl import VerlRl, VerlRm
from curate.exports.whole import MosaicMl, WebDataset

FORMATS: dict[str, type[Format]] = {
    one.name: one
    for one in (
        Trl, TrlText, LlamaFactory, MsSwift, OpenRlhf, VerlRm, VerlRl, Axolotl, WebDataset, MosaicMl,
    )
}  # fmt: skip
