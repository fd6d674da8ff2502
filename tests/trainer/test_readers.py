"""What the trainer reads of a mix: its pairs, in order, from any position, and every fault in one line."""

import shutil
from collections import Counter
from itertools import chain

import pyarrow.parquet as pq
import pytest

from curate import schema
from curate.errors import WorkspaceError
from tests.support.trainer_shards import FRAMES, IMAGES, fault, ids, lock, make, mixed, shard_fleet, text_mix
from trainer.readers import MixReader


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    return shard_fleet(tmp_path_factory.mktemp("mix"))


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    return text_mix(tmp_path_factory.mktemp("texts"))


def test_rows_are_those_of_the_shards_in_order(fleet):
    reader = MixReader(fleet)
    rows = list(reader.rows())
    assert len(sorted(fleet.glob("shard-*.parquet"))) > 2
    assert [row.pair_id for row in rows] == ids(fleet)
    assert len(reader) == len(rows) == 40
    assert reader.pair_ids() == ids(fleet)
    held = MixReader(fleet, "holdout")
    assert [row.pair_id for row in held.rows()] == ids(fleet, "holdout-*.parquet")
    assert len(held) == 5


def test_a_row_says_what_the_pair_says(fleet):
    [wanted] = [row for row in MixReader(fleet).rows() if row.prompt[0].content[-1].text == "Question 7?"]
    assert [block.type for block in wanted.prompt[0].content] == ["image", "text"]
    assert (wanted.source, wanted.margin, wanted.chosen[0].content[0].text) == ("b", 1.0, "Yes 7. " * 3)
    assert [(medium.kind, medium.read()) for medium in wanted.media] == [("image", IMAGES[3])]


def test_critiques_are_read(tmp_path):
    directory = make(tmp_path, [{"chosen_critique": "Right.", "prompt": "a"}, {"prompt": "b"}])
    critiques = {(row.chosen_critique, row.rejected_critique) for row in MixReader(directory).rows()}
    assert critiques == {("Right.", None), (None, None)}


def test_a_video_has_its_frames(fleet):
    rows = chain(MixReader(fleet).rows(), MixReader(fleet, "holdout").rows())
    [video] = [medium for row in rows for medium in row.media if medium.kind == "video"]
    assert video.read() == FRAMES


def test_reading_starts_at_any_pair(fleet):
    reader = MixReader(fleet)
    all_ids = [row.pair_id for row in reader.rows()]
    for start in range(0, 42, 4):  # row groups are of 3
        assert [row.pair_id for row in reader.rows(start)] == all_ids[start:]


def damaged(directory, into):
    """A copy of the mix whose first shard has a first row group of noise; what is read of it is an error."""
    there = shutil.copytree(directory, into)
    path = there / "shard-00000.parquet"
    with pq.ParquetFile(path) as file:
        group = file.metadata.row_group(0)
        assert file.metadata.num_row_groups > 1
        columns = [group.column(i) for i in range(group.num_columns)]
    data = bytearray(path.read_bytes())
    for column in columns:
        start = column.dictionary_page_offset or column.data_page_offset
        data[start : start + column.total_compressed_size] = b"\xff" * column.total_compressed_size
    path.write_bytes(data)
    return there, group.num_rows


def test_earlier_row_groups_are_not_read(fleet, tmp_path):
    there, rows = damaged(fleet, tmp_path / "mix")
    assert [row.pair_id for row in MixReader(there).rows(rows)] == ids(fleet)[rows:]
    line = fault(WorkspaceError, lambda: list(MixReader(there).rows(rows - 1)))
    assert line.startswith(f"{there}/shard-00000.parquet: damaged (")
    assert "\n" not in line
    assert line.endswith("; expected the shard as it was written")


def test_media_by_reference_are_read_from_the_store(tmp_path):
    directory = make(tmp_path, mixed(9), [*IMAGES, *FRAMES], media="reference")
    read = [medium.read() for row in MixReader(directory).rows() for medium in row.media]
    assert Counter(one for one in read if isinstance(one, bytes)) == Counter([IMAGES[1], IMAGES[0], IMAGES[3]])
    assert FRAMES in read
    moved = (tmp_path / "data/images").rename(tmp_path / "store")
    named = [medium.read() for row in MixReader(directory, images=moved).rows() for medium in row.media]
    assert named == read
    line = fault(WorkspaceError, lambda: list(MixReader(directory).rows()))
    assert line == f"{tmp_path}/data/images: no image store; expected the one that {directory} refers to"


def test_a_mix_that_is_not_finished(tmp_path):
    line = fault(WorkspaceError, lambda: MixReader(tmp_path))
    assert line == f"{tmp_path}: no lock.json; expected the directory of a finished mix"


def test_a_mix_of_another_schema(tmp_path):
    lock(tmp_path, [], schema=99)
    line = fault(WorkspaceError, lambda: MixReader(tmp_path))
    assert line == f"{tmp_path}/lock.json: a mix of schema 99; expected schema {schema.VERSION}"


def test_a_damaged_lock(tmp_path):
    (tmp_path / "lock.json").write_text("{")
    assert fault(WorkspaceError, lambda: MixReader(tmp_path)).startswith(f"{tmp_path}/lock.json: damaged (")


def test_a_shard_that_is_missing_or_short(tmp_path):
    directory = make(tmp_path, mixed(3), [*IMAGES, *FRAMES])
    path = directory / "shard-00000.parquet"
    size = path.stat().st_size
    path.write_bytes(path.read_bytes()[:-1000])
    assert fault(WorkspaceError, lambda: MixReader(directory)) == (
        f"{path}: {size - 1000:,} bytes; expected {size:,} bytes"
    )
    path.unlink()
    assert fault(WorkspaceError, lambda: MixReader(directory)) == f"{path}: missing; expected {size:,} bytes"


def test_a_shard_with_other_rows_or_columns(tmp_path, texts):
    path = tmp_path / "shard-00000.parquet"
    table = pq.read_table(texts / path.name)
    pq.write_table(table, path)
    size = path.stat().st_size
    lock(tmp_path, [{"name": path.name, "rows": 24, "bytes": size}])
    line = fault(WorkspaceError, lambda: list(MixReader(tmp_path).rows()))
    assert line == f"{path}: 25 rows; expected 24 rows, as lock.json says"
    pq.write_table(table.drop_columns("chosen"), path)
    lock(tmp_path, [{"name": path.name, "rows": 25, "bytes": path.stat().st_size}])
    line = fault(WorkspaceError, lambda: list(MixReader(tmp_path).rows()))
    assert line == f"{path}: no column chosen as in a shard; expected schema {schema.VERSION}"
