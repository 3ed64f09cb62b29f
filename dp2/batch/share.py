"""Several processes share tasks: each takes what nobody has, until all is done."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from dp2.batch.claims import Claim, Claims
from dp2.errors import Dp2Error, OutputError
from dp2.failures import unforeseen

_PAUSE = 0.2  # seconds between looks at what others are doing


def share(
    tasks: Sequence[str],
    claims: Claims,
    *,
    done: Callable[[str], bool],
    work: Callable[[str, Claim], None],
) -> list[Dp2Error]:
    """Work until every task is done, by whichever process, or has failed here.

    Args:
        tasks: names of claims, in order.
        claims: of this process.
        done: whether nothing is left to do for a task.
        work: does a task; it may be done twice, if a process that was believed dead comes back, so its result must not
            depend on who does it. It should stop when its claim is no longer held.

    Returns:
        what went wrong; these tasks are not done.

    Raises:
        OutputError: nothing can be written, so that there is no use in going on.
    """
    failed: dict[str, Dp2Error] = {}
    left = list(tasks)
    while left := [task for task in left if task not in failed and not done(task)]:
        idle = True
        for task in left:
            claim = claims.take(task)
            if claim is None:
                continue
            with claim:
                if done(task):
                    continue
                idle = False
                try:
                    work(task, claim)
                except OutputError:
                    if claim.held:
                        raise
                except Dp2Error as error:
                    failed[task] = error
                except KeyboardInterrupt:
                    raise
                except BaseException as error:  # whatever it is, the other tasks are done
                    failed[task] = unforeseen(error, task)
        if idle:
            time.sleep(_PAUSE)
    return list(failed.values())
