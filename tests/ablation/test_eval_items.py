"""What arms are scored on: the bundled eval sets that were fetched, and the user's own."""

import json

import pytest

from curate.ablation import eval_items
from curate.errors import ConfigError
from curate.evaluation.items import EvalSetFolders
from curate.workspace import Workspace
from tests.support import planted


def test_a_users_own_eval_set_is_found_without_a_name_and_by_it(tmp_path):
    planted.write(tmp_path, good=4, noise=4, eval_items=6)
    manifests, raw = tmp_path / "manifests", tmp_path / "raw"
    (manifests / "evalsets").mkdir()
    (manifests / "evalsets" / "mine.yaml").write_text(planted.MANIFEST)
    (raw / "mine").mkdir()
    (raw / "mine" / "rows.jsonl").write_text(json.dumps({"prompt": "p", "chosen": "yes", "rejected": "no"}) + "\n")
    folders = EvalSetFolders(workspace=Workspace(tmp_path / "data"), raw=raw, manifests=manifests)
    assert [one.name for one in eval_items.eval_sets([], folders)] == ["judgebench", "mine"]
    [mine] = eval_items.eval_sets(["mine"], folders)
    assert (mine.evalset.modality, len(mine.items.items)) == ("text", 1)
    with pytest.raises(ConfigError, match="no eval set is called 'mime'"):
        eval_items.check_fetched(["mime"], folders)
