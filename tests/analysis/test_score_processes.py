"""How files of pairs are dealt out to processes that score them, and what a process's lines say of its
progress."""

import sys

from curate.analysis.score_processes import ScoreTask, grouped, score
from curate.engines.local import Local

JOBS = [{"out": str(number)} for number in range(5)]
TALK = "import sys; [print(line) for line in sys.argv[1:]]"


def test_files_are_dealt_out_in_turn_and_no_process_has_none():
    assert grouped(JOBS, 2) == [JOBS[0::2], JOBS[1::2]]
    assert grouped(JOBS, 9) == grouped(JOBS, None) == [[job] for job in JOBS]
    assert grouped([], 3) == grouped([], None) == []


def test_what_processes_have_scored_is_heard_as_rows(tmp_path):
    lines = (
        ["scores: 1,500 pairs to do", "scores: 1,000 of 1,500 pairs, 8/s", "scores: 1,500 of 1,500 pairs"],
        ["x"],
    )
    tasks = [ScoreTask(jobs=tmp_path, command=(sys.executable, "-c", TALK, *some)) for some in (*lines, lines[0])]
    ticks = []
    with Local(2) as engine:
        list(engine.map(score, tasks, ticks.append, threads=True, gpus=True))
    assert sorted(one.rows for one in ticks) == [500, 500, 1000, 1000]
