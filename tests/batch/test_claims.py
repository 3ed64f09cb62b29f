from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

from dp2.batch.claims import Claims


def stranger(folder: Path, name: str, **owner: object) -> Path:
    """A claim of another process."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(json.dumps({"machine": "elsewhere", "pid": 1, "started": 1, **owner}), encoding="utf-8")
    return path


def test_only_one_of_two_gets_a_claim_and_the_other_gets_it_afterwards(tmp_path: Path) -> None:
    with Claims(tmp_path / "c") as first, Claims(tmp_path / "c") as second:
        claim = first.take("a")
        assert claim is not None
        assert second.take("a") is None
        assert second.others()
        claim.release()
        assert second.take("a") is not None


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    with Claims(tmp_path / "c") as claims:
        claims.take("a")
        claims.take("b")
    assert not (tmp_path / "c").exists()


def test_a_claim_that_nobody_touches_expires_by_our_own_clock(tmp_path: Path) -> None:
    path = stranger(tmp_path / "c", "a.1")
    with Claims(tmp_path / "c", lease=0.3) as claims:
        assert claims.take("a") is None
        time.sleep(0.4)
        taken = claims.take("a")
        assert taken is not None
        assert not path.exists()
        assert taken.held


def test_a_claim_that_is_touched_stays(tmp_path: Path) -> None:
    with Claims(tmp_path / "c", lease=0.3) as owner, Claims(tmp_path / "c", lease=0.3) as other:
        assert owner.take("a") is not None
        for _ in range(4):
            assert other.take("a") is None
            time.sleep(0.15)


def test_the_claim_of_a_dead_process_of_this_machine_is_free_at_once(tmp_path: Path) -> None:
    script = (
        "import os, sys; from pathlib import Path; from dp2.batch.claims import Claims\n"
        "claims = Claims(Path(sys.argv[1])); claims.__enter__(); claims.take('a'); os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path / "c")], check=False)
    assert (tmp_path / "c" / "a.1").exists()
    with Claims(tmp_path / "c") as claims:
        assert (claims.take("a") is not None) is (sys.platform == "linux")


def test_a_claim_that_another_began_anew_is_not_taken_for_ones_own(tmp_path: Path) -> None:
    with Claims(tmp_path / "c", lease=0.3) as claims:
        mine = claims.take("a")
        assert mine is not None
        mine.path.unlink()  # taken over while this machine slept, finished, and taken by a third one
        path = stranger(tmp_path / "c", mine.path.name)
        touched = path.stat().st_mtime_ns
        assert not mine.held
        time.sleep(0.2)
        assert path.stat().st_mtime_ns == touched
        mine.release()
        assert path.exists()


def test_an_owner_who_lost_his_claim_knows_it(tmp_path: Path) -> None:
    with Claims(tmp_path / "c") as slow, Claims(tmp_path / "c", lease=0.05) as fast:
        mine = slow.take("a")
        assert mine is not None
        assert fast.take("a") is None
        time.sleep(0.2)  # less than the slow one's beat
        theirs = fast.take("a")
        assert theirs is not None
        assert theirs.held
        assert not mine.held
        mine.release()
        assert theirs.held
